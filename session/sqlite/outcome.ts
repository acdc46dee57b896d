import { type Failure, FailureSchema, LeafResultSchema, LeafState } from "@serverless-harness/proto/leaf";
import type { Claim, NewEvent, Outcome } from "../leaf-store.ts";
import type { Connection } from "./connection.ts";
import { appendEvents } from "./events.ts";
import { requireOwner } from "./ownership.ts";
import { toBlob } from "./records.ts";

const FINISH = `UPDATE harness_leaves SET state = ?, due_ms = NULL, updated_ms = ?, worker_name = NULL, worker = NULL, failure = ?, result = ?
  WHERE n = ?`;
const UNBLOCK = `UPDATE harness_leaves SET due_ms = 0 WHERE n = (
  SELECT n FROM harness_leaves WHERE tenant = ? AND session_id = ? AND state < 6 ORDER BY n LIMIT 1)`;
const RETRY = `UPDATE harness_leaves SET state = ${LeafState.RETRYING}, due_ms = ?2, not_before_ms = ?2, updated_ms = ?3,
  failed_attempts = failed_attempts + 1, worker_name = NULL, worker = NULL, failure = ?4 WHERE n = ?1`;
const SUSPEND = `UPDATE harness_leaves SET state = ${LeafState.SUSPENDED}, due_ms = 0, not_before_ms = 0, updated_ms = ?, worker_lost = ?,
  worker_name = NULL, worker = NULL WHERE n = ?`;
const HELD_BY = `SELECT n FROM harness_leaves WHERE state = ${LeafState.RUNNING} AND worker_name = ?`;

/** End a leaf for good and let the next one of its session run, inside the caller's transaction. */
export function finishLeaf(connection: Connection, nowMs: number, claim: Claim, outcome: Outcome, events: readonly NewEvent[]): void {
  const { n, tenant, session_id: sessionId } = requireOwner(connection, claim);
  const result = outcome.state === LeafState.DONE ? outcome.result : undefined;
  const failure = outcome.state === LeafState.FAILED ? outcome.failure : undefined;
  connection.run(FINISH, outcome.state, nowMs, toBlob(FailureSchema, failure), toBlob(LeafResultSchema, result), n);
  connection.run(UNBLOCK, tenant, sessionId);
  appendEvents(connection, n, nowMs, events, {
    state: outcome.state,
    ...(result === undefined ? {} : { result }),
    ...(failure === undefined ? {} : { failure }),
  });
}

/** Note a failed attempt; the leaf is ready again at `notBeforeMs`. Inside the caller's transaction. */
export function retryLeaf(
  connection: Connection,
  nowMs: number,
  claim: Claim,
  failure: Failure,
  notBeforeMs: number,
  events: readonly NewEvent[],
): void {
  const { n } = requireOwner(connection, claim);
  const due = Math.max(0, Math.ceil(notBeforeMs));
  connection.run(RETRY, n, due, nowMs, toBlob(FailureSchema, failure));
  appendEvents(connection, n, nowMs, events, { state: LeafState.RETRYING, notBeforeMs: BigInt(due), failure });
}

/** Hand a leaf back, ready at once. Inside the caller's transaction. */
export function releaseLeaf(connection: Connection, nowMs: number, claim: Claim, note: string): void {
  suspend(connection, nowMs, requireOwner(connection, claim).n, note, false);
}

/** Hand back every leaf that a dead worker holds; returns their number. Inside the caller's transaction. */
export function releaseLeavesOf(connection: Connection, nowMs: number, workerName: string, note: string): number {
  const held = connection.all<{ n: number }>(HELD_BY, workerName);
  for (const { n } of held) suspend(connection, nowMs, n, note, true);
  return held.length;
}

function suspend(connection: Connection, nowMs: number, n: number, note: string, workerLost: boolean): void {
  connection.run(SUSPEND, nowMs, workerLost ? 1 : 0, n);
  appendEvents(connection, n, nowMs, [], { state: LeafState.SUSPENDED, note });
}
