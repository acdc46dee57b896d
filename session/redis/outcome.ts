import { type DescMessage, type MessageShape, toBinary } from "@bufbuild/protobuf";
import { type Failure, FailureSchema, LeafResultSchema, LeafState } from "@serverless-harness/proto/leaf";
import type { Claim, NewEvent } from "../contract/claim.ts";
import { staleEpoch } from "../contract/errors.ts";
import { checkEndOverdue, OVERDUE } from "../contract/leaf.ts";
import type { Outcome } from "../contract/leaf-store.ts";
import type { Wishes } from "../contract/messages.ts";
import type { Database } from "./database.ts";
import { eventBatches, messagesOf, stateEvent } from "./events.ts";
import { sessionName } from "./names.ts";
import { type Argument, callId, type Reply, text } from "./scripts.ts";

/** Scripts that do nothing more when they are sent a second time. */
const REPEATABLE: ReadonlySet<string> = new Set(["heartbeat", "openGate", "delivered"]);

/** Prolong the lease to `leaseMs` from now. */
export async function prolongLease(database: Database, claim: Claim, leaseMs: number): Promise<Wishes> {
  const [cancel, unread] = await runOwned(database, "heartbeat", claim, leaseMs);
  return { cancelRequested: text(cancel) === "1", messages: messagesOf(unread) };
}

/** Append events; up to 500 as one step, more in steps of 500. */
export async function appendEvents(database: Database, claim: Claim, events: readonly NewEvent[]): Promise<void> {
  for (const batch of eventBatches(events)) await runOwned(database, "append", claim, ...batch);
}

/** End a leaf for good and let the next one of its session run. */
export async function finishLeaf(database: Database, claim: Claim, outcome: Outcome, events: readonly NewEvent[]): Promise<void> {
  const result = outcome.state === LeafState.DONE ? outcome.result : undefined;
  const failure = outcome.state === LeafState.FAILED ? outcome.failure : undefined;
  const event = stateEvent({
    state: outcome.state,
    ...(result === undefined ? {} : { result }),
    ...(failure === undefined ? {} : { failure }),
  });
  const fields = [outcome.state, optional(LeafResultSchema, result), optional(FailureSchema, failure), event];
  await end(database, "finish", claim, fields, events);
}

/** Note a failed attempt; the leaf is ready again at `notBeforeMs`. */
export async function retryLeaf(
  database: Database,
  claim: Claim,
  failure: Failure,
  notBeforeMs: number,
  events: readonly NewEvent[],
): Promise<void> {
  await end(database, "retry", claim, [toBinary(FailureSchema, failure), Math.max(0, Math.ceil(notBeforeMs))], events);
}

/** Hand back every leaf that a dead worker holds; returns their number. */
export async function releaseLeavesOf(database: Database, workerName: string, note: string): Promise<number> {
  const event = stateEvent({ state: LeafState.SUSPENDED, note });
  const releaseIn = async (partition: number): Promise<number> => {
    for (let total = 0; ; ) {
      const [count, seen] = await database.change("releaseWorker", partition, workerName, event);
      total += Number(text(count));
      if (text(seen) === "0") return total;
    }
  };
  // On one node a worker's leaves are known in one place.
  const counts = await Promise.all((database.together ? [0] : database.names.all()).map(releaseIn));
  return counts.reduce((sum, count) => sum + count, 0);
}

/** The last batch of events goes with the end itself; those before it need steps of their own. */
export async function end(
  database: Database,
  script: "finish" | "retry" | "suspend",
  claim: Claim,
  fields: readonly Argument[],
  events: readonly NewEvent[],
): Promise<readonly Reply[]> {
  const batches = eventBatches(events);
  const last = batches.pop() ?? [0];
  for (const batch of batches) await runOwned(database, "append", claim, ...batch);
  return runOwned(database, script, claim, ...fields, ...last);
}

/** Run a script that proves first that the claim still holds its leaf. */
export async function runOwned(
  database: Database,
  script: "heartbeat" | "append" | "finish" | "retry" | "suspend" | "openGate" | "delivered",
  claim: Claim,
  ...args: readonly Argument[]
): Promise<readonly Reply[]> {
  const { leaf, fence } = claim;
  const call = REPEATABLE.has(script) ? "" : callId();
  const session = sessionName(fence.tenant, fence.sessionId);
  const owner = `${fence.epoch} ${leaf.worker?.name ?? ""}`;
  try {
    return await database.change(script, partitionOf(database, claim), leaf.leafId, session, owner, call, ...args);
  } catch (error) {
    if (error instanceof Error && error.message.startsWith("STALE_EPOCH")) throw staleEpoch(fence);
    throw error;
  }
}

function partitionOf({ names }: Database, { fence }: Claim): number {
  return names.partitionOf(sessionName(fence.tenant, fence.sessionId));
}

function optional<T extends DescMessage>(schema: T, message: MessageShape<T> | undefined): Uint8Array | string {
  return message === undefined ? "" : toBinary(schema, message);
}

const ENDS = [...endOf(OVERDUE.queued), ...endOf(OVERDUE.waiting)];

/** End leaves that nobody holds, at most `limit`: of one partition after the other, beginning anywhere, so that none waits for long. */
export async function endOverdueLeaves(database: Database, graceMs: number, limit: number): Promise<number> {
  checkEndOverdue(graceMs, limit);
  const { partitions } = database.names;
  const first = Math.floor(Math.random() * partitions);
  let total = 0;
  for (let i = 0; i < partitions && total < limit; i++) {
    const [count] = await database.change("endOverdue", (first + i) % partitions, Math.ceil(graceMs), limit - total, ...ENDS);
    total += Number(text(count));
  }
  return total;
}

function endOf(failure: Failure): [failure: Uint8Array, event: Uint8Array] {
  return [toBinary(FailureSchema, failure), stateEvent({ state: LeafState.FAILED, failure })];
}
