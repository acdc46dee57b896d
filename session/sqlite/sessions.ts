import type { Connection } from "./connection.ts";

const FIND = "SELECT epoch FROM harness_sessions WHERE tenant = ? AND session_id = ?";
const HAS_LEAF = "SELECT 1 FROM harness_leaves INDEXED BY harness_leaves_session WHERE tenant = ? AND session_id = ? LIMIT 1";
const DELETE = "DELETE FROM harness_sessions WHERE tenant = ? AND session_id = ?";
/** A session that is made anew begins above whatever its owners held before, also where the clock was set back. */
const RAISE_FIRST = "UPDATE harness_queue SET first_epoch = max(first_epoch, ?)";

/** A leaf was ever submitted on this session. */
export function sessionExists(connection: Connection, tenant: string, sessionId: string): boolean {
  return connection.one(FIND, tenant, sessionId) !== undefined;
}

/** Forget a session that has no leaf, inside the caller's transaction. False where it has some, or there is none. */
export function removeSession(connection: Connection, tenant: string, sessionId: string): boolean {
  const session = connection.one<{ epoch: number }>(FIND, tenant, sessionId);
  if (session === undefined || connection.one(HAS_LEAF, tenant, sessionId) !== undefined) return false;
  connection.run(RAISE_FIRST, session.epoch + 1);
  connection.run(DELETE, tenant, sessionId);
  return true;
}
