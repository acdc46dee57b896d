import { LeafState, type Worker, WorkerSchema } from "@serverless-harness/proto/leaf";
import type { Claim } from "../contract/claim.ts";
import { countReady } from "./backlog.ts";
import { type Connection, toBlob } from "./connection.ts";
import { appendEvents } from "./events.ts";
import { chargeTenant, hasCaps, nextTenant } from "./fair-order.ts";
import { readLeafByNumber } from "./records.ts";
import type { LeafRef } from "./sessions.ts";

/** What became due by time joins those that wait, so that the best is found without walking all of them. */
const OVERDUE = "SELECT 1 FROM harness_leaves WHERE due_ms > 0 AND due_ms <= ? LIMIT 1";
const PROMOTE = "UPDATE harness_leaves SET due_ms = 0 WHERE due_ms > 0 AND due_ms <= ?";
/** At least the clock's milliseconds: no epoch is used twice, even after a backup was restored, or a session was removed and made again. */
const NEXT_EPOCH = "UPDATE harness_sessions SET epoch = max(epoch + 1, ?) WHERE tenant = ? AND session_id = ? RETURNING epoch";
const TAKE = `UPDATE harness_leaves SET state = ${LeafState.RUNNING}, due_ms = ?, updated_ms = ?, not_before_ms = 0, claims = claims + 1,
  epoch = ?, waiting = 0, wake_key = NULL, worker_lost = 0, worker_name = ?, worker = ?, failure = NULL WHERE n = ?`;

/** Give a leaf's session its next epoch, inside the caller's transaction: whoever had the last one is refused from now on. */
export function nextEpoch(connection: Connection, nowMs: number, { n, tenant, session_id: sessionId }: LeafRef): bigint {
  const session = connection.one<{ epoch: number }>(NEXT_EPOCH, nowMs, tenant, sessionId);
  if (session === undefined) throw new Error(`leaf number ${n} has no session`);
  return BigInt(session.epoch);
}

/** Something can be claimed, or has to be looked at with the write lock, as far as can be seen without it. */
export function hasReadyLeaf(connection: Connection, nowMs: number): boolean {
  if (countReady(connection, nowMs, 1) === 0) return false;
  if (!hasCaps(connection)) return true;
  return connection.one(OVERDUE, nowMs) !== undefined || nextTenant(connection, nowMs) !== undefined;
}

/** Take the leaf that is next, inside the caller's transaction. */
export function claimLeaf(connection: Connection, nowMs: number, worker: Worker, leaseMs: number): Claim | undefined {
  connection.run(PROMOTE, nowMs);
  const turn = nextTenant(connection, nowMs);
  const next = turn && chargeTenant(connection, turn);
  if (next === undefined) return undefined;
  const { n, tenant, session_id: sessionId } = next;
  const epoch = nextEpoch(connection, nowMs, next);
  connection.run(TAKE, nowMs + leaseMs, nowMs, epoch, worker.name, toBlob(WorkerSchema, worker), n);
  const expired = next.state === LeafState.RUNNING;
  appendEvents(connection, n, nowMs, [], { state: LeafState.RUNNING, worker, epoch, note: expired ? "lease expired" : "" });
  return {
    leaf: readLeafByNumber(connection, n),
    fence: { tenant, sessionId, epoch },
    takeover: expired || next.worker_lost !== 0,
  };
}
