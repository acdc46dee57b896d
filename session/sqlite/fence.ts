import type { DatabaseSync, StatementSync } from "node:sqlite";
import { staleEpoch } from "../contract/errors.ts";
import type { Fence } from "../contract/leaf-store.ts";
import { requireSameFile } from "./database-file.ts";

const EPOCH = "SELECT epoch FROM harness_sessions WHERE tenant = ? AND session_id = ?";

/** One statement per open database, prepared with its first fence. */
const statements = new WeakMap<DatabaseSync, StatementSync>();

/**
 * Throw FAILED_PRECONDITION `stale_epoch` unless `fence` is the session's newest one. To be called inside the transaction that the fence
 * protects: the lock that the transaction holds is what keeps the answer true until its commit. Throws DATA_LOSS `store_lost` where the database's
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
