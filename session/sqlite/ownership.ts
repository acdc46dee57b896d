import type { DatabaseSync, StatementSync } from "node:sqlite";
import { LeafState } from "@serverless-harness/proto/leaf";
import type { Claim, Fence } from "../contract/claim.ts";
import { staleEpoch } from "../contract/errors.ts";
import type { Wishes } from "../contract/messages.ts";
import type { Connection } from "./connection.ts";
import { requireSameFile } from "./database-file.ts";
import { unreadOf } from "./events.ts";

const OWNED =
  "SELECT n, state, epoch, tenant, session_id, cancel_requested, unread, worker_name, deadline_ms FROM harness_leaves WHERE leaf_id = ?";
const PROLONG = "UPDATE harness_leaves SET due_ms = ? WHERE n = ?";

type Owned = {
  n: number;
  state: LeafState;
  epoch: number;
  tenant: string;
  session_id: string;
  cancel_requested: number;
  unread: string | null;
  worker_name: string | null;
  deadline_ms: number | null;
};

/**
 * The claimed leaf's row, inside the caller's transaction. Throws `stale_epoch` unless the claim still holds it. A lease that ran out
 * takes nothing away by itself: until another worker claims the session, its owner may go on.
 */
export function requireOwner(
  connection: Connection,
  { leaf, fence }: { readonly leaf: { readonly leafId: string }; readonly fence: Fence },
): Owned {
  assertFence(connection.db, fence);
  const row = connection.one<Owned>(OWNED, leaf.leafId);
  const held =
    row !== undefined &&
    row.state === LeafState.RUNNING &&
    BigInt(row.epoch) === fence.epoch &&
    row.tenant === fence.tenant &&
    row.session_id === fence.sessionId;
  if (!held) throw staleEpoch(fence);
  return row;
}

/** Prolong the lease to `leaseMs` from now, inside the caller's transaction. */
export function prolongLease(connection: Connection, nowMs: number, claim: Claim, leaseMs: number): Wishes {
  const row = requireOwner(connection, claim);
  connection.run(PROLONG, nowMs + leaseMs, row.n);
  return { cancelRequested: row.cancel_requested !== 0, messages: unreadOf(connection, row.n, row.unread) };
}

const EPOCH = "SELECT epoch FROM harness_sessions WHERE tenant = ? AND session_id = ?";

/** One statement per open database, prepared with its first fence. */
const statements = new WeakMap<DatabaseSync, StatementSync>();

/**
 * Throw FAILED_PRECONDITION `stale_epoch` unless `fence` is the session's newest one. To be called inside the transaction that the fence
 * protects: the lock that the transaction holds is what keeps the answer true until its commit. Throws DATA_LOSS `store_lost` if the database's
 * file is not the one that was opened.
 */
export function assertFence(db: DatabaseSync, fence: Fence): void {
  requireSameFile(db);
  let statement = statements.get(db);
  if (statement === undefined) {
    statement = db.prepare(EPOCH);
    statements.set(db, statement);
  }
  const newest = statement.get(fence.tenant, fence.sessionId)?.["epoch"];
  if (typeof newest !== "number" || BigInt(newest) !== fence.epoch) throw staleEpoch(fence);
}
