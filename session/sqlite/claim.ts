import { LeafState, type Worker, WorkerSchema } from "@serverless-harness/proto/leaf";
import type { Claim } from "../leaf-store.ts";
import { countReady } from "./backlog.ts";
import { toBlob } from "./blob.ts";
import type { Connection } from "./connection.ts";
import { appendEvents } from "./events.ts";
import { readLeafByNumber } from "./records.ts";

/** What became due by time joins those that wait, so that the oldest is found without walking all of them. */
const PROMOTE = "UPDATE harness_leaves SET due_ms = 0 WHERE due_ms > 0 AND due_ms <= ?";
const OLDEST = "SELECT n, tenant, session_id, state, worker_lost FROM harness_leaves WHERE due_ms = 0 ORDER BY n LIMIT 1";
/** Never behind the clock, so that no epoch comes back with a restored backup, or with a session that was removed and made anew. */
const NEXT_EPOCH = "UPDATE harness_sessions SET epoch = max(epoch + 1, ?) WHERE tenant = ? AND session_id = ? RETURNING epoch";
const TAKE = `UPDATE harness_leaves SET state = ${LeafState.RUNNING}, due_ms = ?, updated_ms = ?, not_before_ms = 0, claims = claims + 1,
  epoch = ?, waiting = 0, wake_key = NULL, worker_lost = 0, worker_name = ?, worker = ?, failure = NULL WHERE n = ?`;

type Oldest = { n: number; tenant: string; session_id: string; state: LeafState; worker_lost: number };

/** Something can be claimed, as far as can be seen without the write lock. */
export function hasReadyLeaf(connection: Connection, nowMs: number): boolean {
  return countReady(connection, nowMs, 1) > 0;
}

/** Take the oldest ready leaf, inside the caller's transaction. */
export function claimLeaf(connection: Connection, nowMs: number, worker: Worker, leaseMs: number): Claim | undefined {
  connection.run(PROMOTE, nowMs);
  const oldest = connection.one<Oldest>(OLDEST);
  if (oldest === undefined) return undefined;
  const { n, tenant, session_id: sessionId } = oldest;
  const session = connection.one<{ epoch: number }>(NEXT_EPOCH, nowMs, tenant, sessionId);
  if (session === undefined) throw new Error(`leaf number ${n} has no session`);
  const epoch = BigInt(session.epoch);
  connection.run(TAKE, nowMs + leaseMs, nowMs, epoch, worker.name, toBlob(WorkerSchema, worker), n);
  const expired = oldest.state === LeafState.RUNNING;
  appendEvents(connection, n, nowMs, [], { state: LeafState.RUNNING, worker, epoch, note: expired ? "lease expired" : "" });
  return {
    leaf: readLeafByNumber(connection, n),
    fence: { tenant, sessionId, epoch },
    takeover: expired || oldest.worker_lost !== 0,
  };
}
