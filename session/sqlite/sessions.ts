import type { IdleSession } from "../contract/retention.ts";
import type { Connection } from "./connection.ts";

const FIND = "SELECT epoch FROM harness_sessions WHERE tenant = ? AND session_id = ?";
const NOTE_LEAFLESS = `UPDATE harness_sessions SET leafless = 1 WHERE tenant = ?1 AND session_id = ?2
  AND NOT EXISTS (SELECT 1 FROM harness_leaves INDEXED BY harness_leaves_session WHERE tenant = ?1 AND session_id = ?2)`;
const IDLE = `SELECT tenant, session_id, epoch FROM harness_sessions INDEXED BY harness_sessions_leafless
  WHERE leafless = 1 AND epoch <= ? ORDER BY epoch LIMIT ? OFFSET ?`;
const IS_LEAFLESS = "SELECT 1 FROM harness_sessions WHERE tenant = ? AND session_id = ? AND epoch = ? AND leafless = 1";
const DELETE = "DELETE FROM harness_sessions WHERE tenant = ? AND session_id = ?";
/** A session that is made anew begins above whatever its owners held before, also where the clock was set back. */
const RAISE_FIRST = "UPDATE harness_queue SET first_epoch = max(first_epoch, ?)";

/** A leaf was ever submitted on this session. */
export function sessionExists(connection: Connection, tenant: string, sessionId: string): boolean {
  return connection.one(FIND, tenant, sessionId) !== undefined;
}

/** A leaf of a session was removed, inside the caller's transaction: it may have been the last one. */
export function noteLeafless(connection: Connection, tenant: string, sessionId: string): void {
  connection.run(NOTE_LEAFLESS, tenant, sessionId);
}

/** Sessions without a leaf whose last owner came at `sinceMs` or before, longest idle first. */
export function idleSessions(connection: Connection, sinceMs: number, limit: number, skip: number): IdleSession[] {
  const rows = connection.all<{ tenant: string; session_id: string; epoch: number }>(IDLE, sinceMs, limit, skip);
  return rows.map(({ tenant, session_id: sessionId, epoch }) => ({ tenant, sessionId, epoch: BigInt(epoch) }));
}

/** A session has still no leaf, and nobody has owned it since. */
export function isStillIdle(connection: Connection, { tenant, sessionId, epoch }: IdleSession): boolean {
  return connection.one(IS_LEAFLESS, tenant, sessionId, epoch) !== undefined;
}

/** Forget a session that {@link isStillIdle}, inside the caller's transaction. False where it is not. */
export function removeSession(connection: Connection, session: IdleSession): boolean {
  if (!isStillIdle(connection, session)) return false;
  connection.run(RAISE_FIRST, session.epoch + 1n);
  connection.run(DELETE, session.tenant, session.sessionId);
  return true;
}
