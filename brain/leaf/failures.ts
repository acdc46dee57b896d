import { create } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { fullJitter } from "@serverless-harness/kit/backoff";
import { HarnessError } from "@serverless-harness/kit/errors";
import type { AgentFailure } from "@serverless-harness/pi-fork";
import { type Failure, FailureReason, FailureSchema, type Leaf } from "@serverless-harness/proto/leaf";
import { deadlineOf } from "@serverless-harness/session";

const DEFAULT_MAX_ATTEMPTS = 5;
const DEFAULT_BASE_DELAY_MS = 1000;
const DEFAULT_MAX_DELAY_MS = 60_000;

/** Errors that no later attempt will mend without an operator. */
const NOT_CONFIGURED = new Set(["unknown_provider", "unknown_model", "missing_api_key", "bad_gateway_setting"]);

/**
 * What hands says of a repository that a workspace can't be made from. One that can't be fetched may be there later; nobody can tell
 * it from one that does not exist.
 */
const BAD_SOURCE = new Set([
  "no_repository",
  "unknown_ref",
  "source_unavailable",
  "source_too_large",
  "source_faulty",
  "address_refused",
  "tree_too_large",
  "invalid_argument",
]);

/** The conversation that a leaf should go on from is not there. */
const NOTHING_TO_GO_ON_FROM = new Set(["conversation_gone", "fork_source_empty"]);

/** The failure as a leaf's record holds it. */
export function toFailure(failure: AgentFailure): Failure {
  const { reason, retryable, message, retryAfterMs } = failure;
  return create(FailureSchema, { reason, retryable, message, retryAfterMs: BigInt(Math.ceil(retryAfterMs ?? 0)) });
}

/** Why a leaf could not be worked on, from whatever was thrown. Only what is meant for clients gets into the message. */
export function failureOf(error: unknown): AgentFailure {
  if (!(error instanceof HarnessError)) {
    return { reason: FailureReason.INTERNAL, retryable: true, message: "a defect of the harness; the brain's log has the cause" };
  }
  const { message, reason, code } = error;
  if (BAD_SOURCE.has(reason))
    return {
      reason: FailureReason.BAD_INPUTS,
      retryable: reason === "source_unavailable",
      message: `the workspace can't be used: ${message}`,
    };
  if (reason === "unusable") return { reason: FailureReason.BAD_INPUTS, retryable: false, message };
  if (reason === "unknown_tool") return { reason: FailureReason.BAD_INPUTS, retryable: false, message };
  if (reason === "images_not_supported") return { reason: FailureReason.BAD_INPUTS, retryable: false, message };
  if (NOTHING_TO_GO_ON_FROM.has(reason)) return { reason: FailureReason.BAD_INPUTS, retryable: false, message };
  if (reason === "unknown_entry") return { reason: FailureReason.BAD_INPUTS, retryable: false, message };
  if (NOT_CONFIGURED.has(reason)) return { reason: FailureReason.MODEL_UNAVAILABLE, retryable: false, message };
  // A clock that is wrong may be set meanwhile.
  if (reason === "sandbox_unavailable" || reason === "token_expired" || code === Code.Unavailable)
    return { reason: FailureReason.SANDBOX_UNAVAILABLE, retryable: true, message };
  if (code === Code.Unauthenticated || code === Code.PermissionDenied)
    return { reason: FailureReason.SANDBOX_UNAVAILABLE, retryable: false, message };
  return { reason: FailureReason.INTERNAL, retryable: true, message };
}

/** A leaf that forks a session is there before that one has begun. */
export function waitsForSource(error: unknown): boolean {
  return error instanceof HarnessError && error.reason === "fork_source_waits";
}

/** No sandbox of the pool would do now, or all that would are full. */
export function waitsForRoom(error: unknown): error is HarnessError {
  return error instanceof HarnessError && (error.reason === "no_sandbox" || error.reason === "sandboxes_full");
}

/** The session has another owner, so this one may write nothing. */
export function isStale(error: unknown): boolean {
  return error instanceof HarnessError && error.reason === "stale_epoch";
}

/**
 * When a leaf whose attempt failed is tried again, milliseconds since the Unix epoch; `undefined` if it is not. `earliestMs` is what the
 * cause asked for. A leaf with a deadline is looked at once more when it passes, to be ended.
 */
export function nextAttemptAt(leaf: Leaf, failure: AgentFailure, earliestMs: number, nowMs: number): number | undefined {
  const policy = leaf.spec?.retry;
  const attempt = leaf.failedAttempts + 1;
  if (!failure.retryable || attempt >= (policy?.maxAttempts || DEFAULT_MAX_ATTEMPTS)) return undefined;
  const base = Number(policy?.baseDelayMs ?? 0n) || DEFAULT_BASE_DELAY_MS;
  const max = Number(policy?.maxDelayMs ?? 0n) || DEFAULT_MAX_DELAY_MS;
  const due = Math.max(nowMs + fullJitter(attempt, base, max), earliestMs);
  return Math.min(due, deadlineOf(leaf) ?? due);
}
