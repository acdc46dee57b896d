import type { DatabaseSync, StatementSync } from "node:sqlite";
import { Code } from "@connectrpc/connect";
import { HarnessError } from "@serverless-harness/kit/errors";
import { sessionKey } from "../leaf-state.ts";
import type { Fence } from "../leaf-store.ts";

const EPOCH = "SELECT epoch FROM harness_sessions WHERE tenant = ? AND session_id = ?";

/** One statement per open database, prepared with its first fence. */
const statements = new WeakMap<DatabaseSync, StatementSync>();

/**
 * Throw FAILED_PRECONDITION `stale_epoch` unless `fence` is the session's newest one. To be called inside the transaction that the fence
 * protects: the lock that the transaction holds is what keeps the answer true until its commit.
 */
export function assertFence(db: DatabaseSync, fence: Fence): void {
  let statement = statements.get(db);
  if (statement === undefined) {
    statement = db.prepare(EPOCH);
    statements.set(db, statement);
  }
  const newest = statement.get(fence.tenant, fence.sessionId)?.["epoch"];
  if (typeof newest !== "number" || BigInt(newest) !== fence.epoch) throw staleEpoch(fence);
}

/** The error for an owner that is no longer one. */
export function staleEpoch(fence: Fence): HarnessError {
  const text = `epoch ${fence.epoch} no longer owns the session: a newer owner took it over, or this claim was ended; stop working on it`;
  return new HarnessError(Code.FailedPrecondition, "stale_epoch", text, {
    metadata: { session: sessionKey(fence), epoch: String(fence.epoch) },
  });
}
