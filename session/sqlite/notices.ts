import { newId } from "@serverless-harness/kit/ids";
import {
  type ClaimedNotice,
  checkNoticeLimit,
  type Notice,
  type NoticeEnd,
  noticeOfPageToken,
  pageTokenOfNotice,
} from "../contract/notices.ts";
import { type WaitOptions, waitUntilDue } from "../contract/subscription.ts";
import type { Changes } from "./changes.ts";
import type { Connection } from "./connection.ts";
import { noteChange } from "./tenants.ts";

const WRITE = "INSERT INTO harness_notices (n, seq, tenant, due_ms) SELECT n, ?, tenant, ? FROM harness_leaves WHERE n = ?";
const OTHERS = "tenant NOT IN (SELECT value FROM json_each(?))";
/** Of each tenant the one that is due longest: the other columns are those of the row with the least time. */
const DUE = `SELECT n, seq, tenant, note, min(due_ms) AS due FROM harness_notices
  WHERE dead = 0 AND due_ms <= ? AND ${OTHERS} GROUP BY tenant ORDER BY due LIMIT ?`;
const NEXT = `SELECT min(due_ms) AS due FROM harness_notices WHERE dead = 0 AND ${OTHERS}`;
const LEAF = "SELECT leaf_id FROM harness_leaves WHERE n = ?";
const CLAIM = "UPDATE harness_notices SET due_ms = ?, token = ? WHERE n = ? AND seq = ?";
const NUMBER = "(SELECT n FROM harness_leaves WHERE leaf_id = ?)";
const LATER = `UPDATE harness_notices SET note = ?, due_ms = ?, dead = ?, token = '' WHERE n = ${NUMBER} AND seq = ? AND token = ? AND dead = 0`;
const DONE = `DELETE FROM harness_notices WHERE n = ${NUMBER} AND seq = ? AND token = ? AND dead = 0`;
const DEAD = "SELECT l.leaf_id, i.seq, i.tenant, i.note FROM harness_notices i JOIN harness_leaves l ON l.n = i.n WHERE i.dead = 1";
const LIST = `${DEAD} AND i.tenant = ? ORDER BY l.leaf_id DESC, i.seq DESC LIMIT ?`;
const LIST_BEHIND = `${DEAD} AND i.tenant = ? AND (l.leaf_id, i.seq) < (?, ?) ORDER BY l.leaf_id DESC, i.seq DESC LIMIT ?`;
const FIND = `${DEAD} AND l.leaf_id = ? AND i.seq = ?`;
const REVIVE = `UPDATE harness_notices SET dead = 0, note = ?, due_ms = ? WHERE n = ${NUMBER} AND seq = ? AND dead = 1`;

type Stored = { leaf_id: string; seq: number; tenant: string; note: string };

/** Somebody is to be told of a leaf's event, inside the transaction that writes it. */
export function writeNotice(connection: Connection, nowMs: number, n: number, seq: number): void {
  connection.run(WRITE, seq, nowMs, n);
  // Whoever tells them is told.
  noteChange(connection);
}

/** A notice is due that is none of the tenants' in `skip`: who looks in vain takes no write lock away from those that work. */
export function hasDueNotice(connection: Connection, nowMs: number, skip: readonly string[]): boolean {
  return (connection.one<{ due: number | null }>(NEXT, JSON.stringify(skip))?.due ?? Number.POSITIVE_INFINITY) <= nowMs;
}

/** Take notices that are due, inside the caller's transaction. */
export function claimNotices(
  connection: Connection,
  nowMs: number,
  limit: number,
  skip: readonly string[],
  leaseMs: number,
): ClaimedNotice[] {
  const due = connection.all<{ n: number; seq: number; tenant: string; note: string }>(DUE, nowMs, JSON.stringify(skip), limit);
  return due.map(({ n, seq, tenant, note }) => {
    const token = newId("claim", nowMs);
    connection.run(CLAIM, nowMs + leaseMs, token, n, seq);
    const leafId = connection.one<{ leaf_id: string }>(LEAF, n)?.leaf_id ?? "";
    return { tenant, leafId, seq: BigInt(seq), note, token, claimedAtMs: nowMs };
  });
}

/** Write what became of a notice, inside the caller's transaction. */
export function settleNotice(connection: Connection, nowMs: number, { leafId, seq, token }: ClaimedNotice, end: NoticeEnd): boolean {
  if (end.kind === "done") return connection.run(DONE, leafId, seq, token) === 1;
  const [due, dead] = end.kind === "later" ? [Math.ceil(end.dueMs), 0] : [nowMs, 1];
  const settled = connection.run(LATER, end.note, due, dead, leafId, seq, token) === 1;
  if (settled && end.kind === "later") noteChange(connection);
  return settled;
}

/** A page of a tenant's notices that were given up. */
export function deadNotices(
  connection: Connection,
  tenant: string,
  limit: number,
  pageToken = "",
): { notices: Notice[]; nextPageToken?: string } {
  checkNoticeLimit(limit);
  const rows =
    pageToken === ""
      ? connection.all<Stored>(LIST, tenant, limit + 1)
      : connection.all<Stored>(LIST_BEHIND, tenant, ...noticeOfPageToken(pageToken, tenant), limit + 1);
  const notices = rows.slice(0, limit).map(noticeOf);
  const last = rows.length > limit ? notices.at(-1) : undefined;
  return { notices, ...(last === undefined ? {} : { nextPageToken: pageTokenOfNotice(last) }) };
}

/** A notice that was given up. */
export function deadNotice(connection: Connection, leafId: string, seq: bigint): Notice | undefined {
  const row = connection.one<Stored>(FIND, leafId, seq);
  return row === undefined ? undefined : noticeOf(row);
}

/** Tell a notice again, inside the caller's transaction. */
export function reviveNotice(connection: Connection, nowMs: number, leafId: string, seq: bigint, note: string): boolean {
  const revived = connection.run(REVIVE, note, nowMs, leafId, seq) === 1;
  if (revived) noteChange(connection);
  return revived;
}

/** Resolves when a notice of another tenant's than `skip` is due, at the latest after `timeoutMs`. */
export function waitForNotices(
  connection: Connection,
  changes: Changes,
  now: () => number,
  skip: readonly string[],
  options: WaitOptions,
): Promise<void> {
  const look = (): number => (connection.one<{ due: number | null }>(NEXT, JSON.stringify(skip))?.due ?? Number.POSITIVE_INFINITY) - now();
  return waitUntilDue(() => changes.subscribe("notices"), look, options);
}

function noticeOf({ leaf_id: leafId, seq, tenant, note }: Stored): Notice {
  return { tenant, leafId, seq: BigInt(seq), note };
}
