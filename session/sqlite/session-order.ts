import type { Connection } from "./connection.ts";

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
export type Place = { readonly n: number; readonly tenant: string; readonly session_id: string };

/** The first unfinished leaf of a session, with its place in the queue; `undefined` where all are over. */
export function headOf(connection: Connection, tenant: string, sessionId: string) {
  return connection.one<{ n: number; state: number; due_ms: number | null }>(HEAD, tenant, sessionId);
}

/** Nothing runs on the session any more: its first unfinished leaf gets its place in the queue. */
export function enqueueFirst(connection: Connection, { tenant, session_id: sessionId }: Omit<Place, "n">): void {
  connection.run(ENQUEUE, tenant, sessionId);
}

/** What the leaf waited for has happened: it is ready, unless others of its session are before it. */
export function readyIfFirst(connection: Connection, { n, tenant, session_id: sessionId }: Place): void {
  connection.run(READY_IF_FIRST, n, tenant, sessionId);
}

/** Something is before this leaf: it has no place in the queue. */
export function takeOut(connection: Connection, n: number): void {
  connection.run(TAKE_OUT, n);
}
