import {
  FailureReasonSchema,
  type Gate,
  type Leaf,
  type LeafEvent,
  LeafStateSchema,
  type StateChanged,
} from "@serverless-harness/proto/leaf";
import { isTerminal } from "@serverless-harness/session";
import type { EventName } from "./target.ts";

/** What receivers get: the same bytes with each attempt, since neither an event nor a spec ever changes. */
export interface Message {
  /** Names the event: receivers know a message by it that they got twice. */
  readonly id: string;
  readonly type: EventName;
  readonly body: string;
}

/** The message about an event of a leaf; `undefined` if it is none that anybody is told of. */
export function messageOf(leaf: Leaf, event: LeafEvent): Message | undefined {
  const { case: kind, value } = event.event;
  if (kind === "gateOpened" && value.gate !== undefined) return message("leaf.gate_opened", leaf, event, { gate: gateOf(value.gate) });
  if (kind === "stateChanged" && isTerminal(value.state)) return message("leaf.ended", leaf, event, endOf(value));
  return undefined;
}

function message(type: EventName, { leafId, spec }: Leaf, { seq, timeMs }: LeafEvent, more: object): Message {
  const data = { leafId, tenant: spec?.tenant, sessionId: spec?.sessionId, seq: Number(seq), labels: spec?.labels ?? {}, ...more };
  const timestamp = new Date(Number(timeMs)).toISOString();
  return { id: messageId(leafId, seq), type, body: JSON.stringify({ type, timestamp, data }) };
}

/** The `webhook-id` of the message about event `seq` of a leaf. */
export function messageId(leafId: string, seq: bigint): string {
  return `msg_${leafId}_${seq}`;
}

function gateOf({ gateId, tool, summary, deadlineMs }: Gate): object {
  return { gateId, tool, summary, ...(deadlineMs === 0n ? {} : { deadlineMs: Number(deadlineMs) }) };
}

function endOf({ state, failure }: StateChanged): object {
  const name = LeafStateSchema.value[state]?.name;
  if (failure === undefined) return { state: name };
  const { retryable, message: text } = failure;
  return { state: name, failure: { reason: FailureReasonSchema.value[failure.reason]?.name, retryable, message: text } };
}
