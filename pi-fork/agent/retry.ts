import type { RetryPolicy } from "@earendil-works/pi-ai";
import type { AgentFailure } from "./log/failure.ts";

/**
 * Pi's own retry, with a count that never runs out: an operation that Pi gives up on is over for good, and whether to give up is the
 * queue's decision. The short waits are for outages of a moment.
 */
export const PI_RETRY: RetryPolicy = { enabled: true, maxRetries: 1_000_000, baseDelayMs: 250, maxAgentDelayMs: 1000 };

/** Requests that one agent makes in vain before it hands the operation back. */
const REQUESTS = 3;
/** Longest wait that an agent sits out itself. */
const LONGEST_WAIT_MS = 2000;

/** A failed request, and where the agent stands. */
export interface FailedRequest {
  readonly failure: AgentFailure;
  /** Pi asks again no earlier, milliseconds since the Unix epoch. */
  readonly notBeforeMs: number;
  /** Requests in a row that this agent made in vain. */
  readonly requests: number;
  /** The answer was cut because its agent ended, which says nothing about the model. */
  readonly interrupted: boolean;
}

/** What to do: ask again here, hand the operation back to the queue, or give it up. */
export type NextStep =
  | { readonly kind: "wait"; readonly untilMs: number }
  | { readonly kind: "hand_back"; readonly notBeforeMs?: number }
  | { readonly kind: "give_up" };

/** Sit out a short outage, hand back on a longer one, give up on what waiting does not mend. */
export function afterFailedRequest(failed: FailedRequest, nowMs: number = Date.now()): NextStep {
  const { failure, notBeforeMs } = failed;
  if (failed.interrupted || failed.requests === 0) return { kind: "wait", untilMs: notBeforeMs };
  if (!failure.retryable) return { kind: "give_up" };
  const asked = failure.retryAfterMs === undefined ? 0 : nowMs + failure.retryAfterMs;
  const untilMs = Math.max(notBeforeMs, asked);
  if (failed.requests < REQUESTS && untilMs - nowMs <= LONGEST_WAIT_MS) return { kind: "wait", untilMs };
  return { kind: "hand_back", ...(asked > 0 ? { notBeforeMs: asked } : {}) };
}
