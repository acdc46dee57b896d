import { checkIdle, type IdleSession } from "../contract/retention.ts";
import type { Connection } from "./connection.ts";

const FIND = "SELECT epoch FROM harness_sessions WHERE tenant = ? AND session_id = ?";
const NOTE_LEAFLESS = `UPDATE harness_sessions SET leafless = 1 WHERE tenant = ?1 AND session_id = ?2
  AND NOT EXISTS (SELECT 1 FROM harness_leaves INDEXED BY harness_leaves_session WHERE tenant = ?1 AND session_id = ?2)`;
const IDLE = `SELECT tenant, session_id, epoch FROM harness_sessions INDEXED BY harness_sessions_leafless
  WHERE leafless = 1 AND epoch <= ? ORDER BY epoch LIMIT ? OFFSET ?`;
const IS_LEAFLESS = "SELECT 1 FROM harness_sessions WHERE tenant = ? AND session_id = ? AND epoch = ? AND leafless = 1";
const DELETE = "DELETE FROM harness_sessions WHERE tenant = ? AND session_id = ?";
/** A session that is made again begins above whatever its owners held before, also if the clock was set back. */
const RAISE_FIRST = "UPDATE harness_queue SET first_epoch = max(first_epoch, ?)";

/** A leaf was ever submitted on this session. */
export function sessionExists(connection: Connection, tenant: string, sessionId: string): boolean {
  return connection.one(FIND, tenant, sessionId) !== undefined;
}

/** A leaf of a session was removed, inside the caller's transaction: it may have been the last one. */
export function noteLeafless(connection: Connection, tenant: string, sessionId: string): void {
  connection.run(NOTE_LEAFLESS, tenant, sessionId);
}

/** Sessions without a leaf whose last owner came `idleMs` before `nowMs` or earlier, longest idle first. */
export function idleSessions(connection: Connection, nowMs: number, idleMs: number, limit: number, skip: number): IdleSession[] {
  checkIdle(idleMs, limit, skip);
  const rows = connection.all<{ tenant: string; session_id: string; epoch: number }>(IDLE, nowMs - idleMs, limit, skip);
  return rows.map(({ tenant, session_id: sessionId, epoch }) => ({ tenant, sessionId, epoch: BigInt(epoch) }));
}

/** A session has still no leaf, and nobody has owned it since. */
export function isStillIdle(connection: Connection, { tenant, sessionId, epoch }: IdleSession): boolean {
  return connection.one(IS_LEAFLESS, tenant, sessionId, epoch) !== undefined;
}

/** Forget a session that {@link isStillIdle}, inside the caller's transaction. False if it is not. */
export function removeSession(connection: Connection, session: IdleSession): boolean {
  if (!isStillIdle(connection, session)) return false;
  connection.run(RAISE_FIRST, session.epoch + 1n);
  connection.run(DELETE, session.tenant, session.sessionId);
  return true;
}

/** The session's first unfinished leaf. Without the hint, SQLite walks all unfinished leaves of the tenant. */
const FIRST = `SELECT n FROM harness_leaves INDEXED BY harness_leaves_open WHERE tenant = ? AND session_id = ? AND state < 6
  ORDER BY n LIMIT 1`;
const HEAD = `SELECT n, state, due_ms FROM harness_leaves WHERE n = (${FIRST})`;
/** When a leaf that nothing is before can be claimed: a wait for no time has no such time. */
const DUE = "CASE WHEN waiting = 1 AND not_before_ms = 0 THEN NULL ELSE not_before_ms END";
const ENQUEUE = `UPDATE harness_leaves SET due_ms = ${DUE} WHERE n = (${FIRST})`;
const READY_IF_FIRST = `UPDATE harness_leaves SET due_ms = 0 WHERE n = ? AND n = (${FIRST})`;
const TAKE_OUT = "UPDATE harness_leaves SET due_ms = NULL WHERE n = ?";

/** A leaf's number and its session. */
export type LeafRef = { readonly n: number; readonly tenant: string; readonly session_id: string };

/** The first unfinished leaf of a session, with its place in the queue; `undefined` if all are over. */
export function headOf(connection: Connection, tenant: string, sessionId: string) {
  return connection.one<{ n: number; state: number; due_ms: number | null }>(HEAD, tenant, sessionId);
}

/** Nothing runs on the session any more: its first unfinished leaf gets its place in the queue. */
export function enqueueFirst(connection: Connection, { tenant, session_id: sessionId }: Omit<LeafRef, "n">): void {
  connection.run(ENQUEUE, tenant, sessionId);
}

/** What the leaf waited for has happened: it is ready, unless others of its session are before it. */
export function readyIfFirst(connection: Connection, { n, tenant, session_id: sessionId }: LeafRef): void {
  connection.run(READY_IF_FIRST, n, tenant, sessionId);
}

/** Something is before this leaf: it has no place in the queue. */
export function takeOut(connection: Connection, n: number): void {
  connection.run(TAKE_OUT, n);
}
