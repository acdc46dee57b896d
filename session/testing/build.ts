import { rejects, strictEqual } from "node:assert/strict";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { HarnessError } from "@serverless-harness/kit/errors";
import {
  DecisionKind,
  type Failure,
  FailureReason,
  FailureSchema,
  GateSchema,
  type Leaf,
  type LeafEvent,
  LeafKind,
  LeafResultSchema,
  type LeafSpec,
  LeafSpecSchema,
  LeafState,
  LeafStateSchema,
  MessageMode,
  TextDeltaSchema,
  UsageSchema,
  type Worker,
  WorkerSchema,
} from "@serverless-harness/proto/leaf";
import type { Claim, NewEvent } from "../contract/claim.ts";
import type { NewDecision, NewGate } from "../contract/gates.ts";
import type { LeafStore, Outcome } from "../contract/leaf-store.ts";
import type { NewMessage } from "../contract/messages.ts";

/** A lease that outlives every case. */
export const LONG_LEASE_MS = 600_000;

/** A signal that never aborts. */
export const NEVER: AbortSignal = new AbortController().signal;

export function specOf(fields: MessageInitShape<typeof LeafSpecSchema> = {}): LeafSpec {
  return create(LeafSpecSchema, { tenant: "acme", kind: LeafKind.TURN, prompt: "say hi", ...fields });
}

export function workerOf(name: string): Worker {
  return create(WorkerSchema, { name, pid: 7n, pidNamespace: "pid:[1]", startedAtMs: 5n });
}

/** A piece of text, under a key if one is given. */
export function delta(text: string, key?: string): NewEvent {
  return { event: { case: "textDelta", value: create(TextDeltaSchema, { text }) }, ...(key === undefined ? {} : { key }) };
}

export function usage(modelCalls: number, key?: string): NewEvent {
  return { event: { case: "usage", value: create(UsageSchema, { modelCalls }) }, ...(key === undefined ? {} : { key }) };
}

export function failureOf(message: string): Failure {
  return create(FailureSchema, { reason: FailureReason.MODEL_UNAVAILABLE, retryable: true, message });
}

export function done(text: string): Outcome {
  return { state: LeafState.DONE, result: create(LeafResultSchema, { text }) };
}

export function failed(message: string): Outcome {
  return { state: LeafState.FAILED, failure: failureOf(message) };
}

export function gateOf(gateId: string, fields: Partial<NewGate> = {}): NewGate {
  const gate = create(GateSchema, { gateId, tool: "bash", summary: "may it?", proposedAction: "rm -r build", argumentsHash: "h1" });
  return { ...gate, ...fields };
}

export function messageOf(messageId: string, fields: Partial<NewMessage> = {}): NewMessage {
  return { messageId, mode: MessageMode.STEER, text: `about ${messageId}`, sentBy: "ann", ...fields };
}

export function approval(fields: Partial<NewDecision> = {}): NewDecision {
  return { kind: DecisionKind.APPROVE, feedback: "go on", decidedBy: "ann", ...fields };
}

/** Submit a leaf and return its record. */
export async function submit(store: LeafStore, fields: MessageInitShape<typeof LeafSpecSchema> = {}, idempotencyKey = ""): Promise<Leaf> {
  return (await store.submit({ spec: specOf(fields), idempotencyKey })).leaf;
}

/** Claim a leaf that has to be ready. */
export async function claim(store: LeafStore, leaseMs = LONG_LEASE_MS, worker = "worker-1"): Promise<Claim> {
  const claimed = await store.claim(workerOf(worker), leaseMs);
  if (claimed === undefined) throw new Error("nothing was ready to be claimed");
  return claimed;
}

/** Claim a leaf as soon as one is ready, as a worker does. */
export async function claimWhenReady(store: LeafStore, worker = "worker-2"): Promise<Claim> {
  for (;;) {
    const claimed = await store.claim(workerOf(worker), LONG_LEASE_MS);
    if (claimed !== undefined) return claimed;
    await store.waitForWork(LONG_LEASE_MS, NEVER);
  }
}

/** Nothing can be claimed. */
export async function nothingReady(store: LeafStore): Promise<void> {
  strictEqual(await store.claim(workerOf("worker-3"), LONG_LEASE_MS), undefined);
}

/** The record of a leaf that has to be there. */
export async function recordOf(store: LeafStore, leafId: string): Promise<Leaf> {
  const leaf = await store.get(leafId);
  if (leaf === undefined) throw new Error(`leaf ${leafId} is gone`);
  return leaf;
}

/** The whole log of a leaf. */
export async function logOf(store: LeafStore, leafId: string): Promise<LeafEvent[]> {
  return store.events(leafId, 0n, 100_000);
}

/** The last event of a leaf's log, which has to be a change of state: the state, when it ends by time, and the note. */
export async function lastChange(store: LeafStore, leafId: string): Promise<[state: LeafState, notBeforeMs: number, note: string]> {
  const event = (await logOf(store, leafId)).at(-1)?.event;
  if (event?.case !== "stateChanged") throw new Error(`the last event is ${event?.case}`);
  return [event.value.state, Number(event.value.notBeforeMs), event.value.note];
}

/** Events as short words: the state's name, the text, or the kind. */
export function words(events: readonly LeafEvent[]): string[] {
  return events.map(({ event }) => {
    if (event.case === "stateChanged") return LeafStateSchema.value[event.value.state]?.localName.toLowerCase() ?? "unknown";
    return event.case === "textDelta" ? event.value.text : (event.case ?? "nothing");
  });
}

export async function refused(promise: Promise<unknown>, reason: string): Promise<void> {
  await rejects(promise, (error) => error instanceof HarnessError && error.reason === reason);
}

/** The error of a call that has to be refused. */
export async function refusal(call: Promise<unknown>): Promise<HarnessError> {
  const error = await call.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (error instanceof HarnessError) return error;
  throw error ?? new Error("it was not refused");
}

/** Follow a leaf to the end of what the store sends. */
export async function follow(store: LeafStore, leafId: string, afterSeq = 0n, signal = NEVER): Promise<LeafEvent[]> {
  const events: LeafEvent[] = [];
  for await (const event of store.follow(leafId, afterSeq, signal)) events.push(event);
  return events;
}

/** The log's sequence numbers are `from`, `from` + 1 and so on, without a gap. */
export function assertGapFree(events: readonly LeafEvent[], from = 1n): void {
  events.forEach((event, index) => {
    strictEqual(event.seq, from + BigInt(index));
  });
}

/** Every script goes to the server whole, once. On a line that is cut after fewer bytes than they have it would never arrive. */
export async function sendScripts(store: LeafStore): Promise<void> {
  await submit(store, {}, "k");
  const first = await claim(store);
  await store.heartbeat(first, 1);
  await store.append(first, [delta("x")]);
  await store.retry(first, failureOf("x"), 0, []);
  const second = await claimWhenReady(store);
  await store.release(second, "");
  const third = await claimWhenReady(store);
  await store.finish(third, done(""), []);
  await follow(store, third.leaf.leafId);
  await store.backlog();
  await store.waitForWork(1, NEVER);
}
