import { type Failure, LeafState } from "@serverless-harness/proto/leaf";
import { OVERDUE } from "../contract/leaf-deadline.ts";
import { nextEpoch } from "./claim.ts";
import type { Connection } from "./connection.ts";
import { appendEvents } from "./events.ts";
import { closeLeaf } from "./outcome.ts";
import { enqueueFirst, headOf, type Place } from "./session-order.ts";

/** Those under a live lease are their worker's to end, those that wait its successor's for a while. */
const FIND = `SELECT n, tenant, session_id, state, due_ms, worker_name FROM harness_leaves INDEXED BY harness_leaves_deadline
  WHERE state < 6 AND deadline_ms <= ?1 AND (state = ${LeafState.QUEUED} OR deadline_ms <= ?2)
  AND NOT (state = ${LeafState.RUNNING} AND due_ms > ?1) ORDER BY deadline_ms LIMIT ?3`;

type Found = Place & { state: LeafState; due_ms: number | null; worker_name: string | null };

/** There is such a leaf, as far as can be seen without the write lock. */
export function hasOverdueLeaf(connection: Connection, nowMs: number, graceMs: number): boolean {
  return connection.one(FIND, nowMs, nowMs - graceMs, 1) !== undefined;
}

/** End leaves that nobody holds, at most `limit`, inside the caller's transaction. Returns how many. */
export function endOverdueLeaves(connection: Connection, nowMs: number, graceMs: number, limit: number): number {
  const found = connection.all<Found>(FIND, nowMs, nowMs - graceMs, limit);
  for (const leaf of found) endLeaf(connection, nowMs, leaf, leaf.state === LeafState.QUEUED ? OVERDUE.queued : OVERDUE.waiting);
  return found.length;
}

function endLeaf(connection: Connection, nowMs: number, leaf: Found, failure: Failure): void {
  const holdsSession = leaf.state === LeafState.RUNNING || leaf.due_ms !== null || isWaitingHead(connection, leaf);
  // Who held it until its lease ended may be working still: from now on it is refused.
  if (leaf.state === LeafState.RUNNING) nextEpoch(connection, nowMs, leaf);
  closeLeaf(connection, nowMs, leaf.n, { state: LeafState.FAILED, failure, worker: leaf.worker_name });
  if (holdsSession) enqueueFirst(connection, leaf);
  appendEvents(connection, leaf.n, nowMs, [], { state: LeafState.FAILED, failure });
}

/** It is its session's first and waits for what no time brings. One in the queue without a place waits for another that runs. */
function isWaitingHead(connection: Connection, { n, state, tenant, session_id: sessionId }: Found): boolean {
  return state !== LeafState.QUEUED && headOf(connection, tenant, sessionId)?.n === n;
}
