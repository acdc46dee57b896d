import { type Failure, FailureSchema, type LeafResult, LeafResultSchema, LeafState } from "@serverless-harness/proto/leaf";
import type { Claim, NewEvent } from "../contract/claim.ts";
import { OVERDUE } from "../contract/leaf.ts";
import type { Outcome } from "../contract/leaf-store.ts";
import { nextEpoch } from "./claim.ts";
import { type Connection, toBlob } from "./connection.ts";
import { appendEvents } from "./events.ts";
import { filesAreDue } from "./files.ts";
import { requireOwner } from "./ownership.ts";
import { noteAttempt } from "./records.ts";
import { enqueueFirst, headOf, type LeafRef } from "./sessions.ts";
import { forgetWakes, letGo } from "./waits.ts";

const FINISH = `UPDATE harness_leaves SET state = ?, due_ms = NULL, updated_ms = ?, worker_name = NULL, worker = NULL, failure = ?, result = ?,
  open_gates = 0, waiting = 0, not_before_ms = 0, wake_key = NULL WHERE n = ?`;
const FORGET_GATES = "DELETE FROM harness_gates WHERE n = ?";
const RETRY = `UPDATE harness_leaves SET state = ${LeafState.RETRYING}, due_ms = NULL, not_before_ms = ?2, updated_ms = ?3,
  failed_attempts = failed_attempts + 1, worker_name = NULL, worker = NULL, failure = ?4 WHERE n = ?1`;
const HELD_BY = `SELECT n, tenant, session_id FROM harness_leaves WHERE state = ${LeafState.RUNNING} AND worker_name = ?`;

/** How a leaf ends, and who held it at last. */
interface Closing {
  readonly state: LeafState;
  readonly result?: LeafResult | undefined;
  readonly failure?: Failure | undefined;
  readonly worker: string | null;
}

/** End a leaf for good and let the next one of its session run, inside the caller's transaction. */
export function finishLeaf(connection: Connection, nowMs: number, claim: Claim, outcome: Outcome, events: readonly NewEvent[]): void {
  const leaf = requireOwner(connection, claim);
  const result = outcome.state === LeafState.DONE ? outcome.result : undefined;
  const failure = outcome.state === LeafState.FAILED ? outcome.failure : undefined;
  closeLeaf(connection, nowMs, leaf.n, { state: outcome.state, result, failure, worker: leaf.worker_name });
  enqueueFirst(connection, leaf);
  appendEvents(connection, leaf.n, nowMs, events, {
    state: outcome.state,
    ...(result === undefined ? {} : { result }),
    ...(failure === undefined ? {} : { failure }),
  });
}

/** A leaf is over: what it ended with stays, what only an unfinished one needs goes. Inside the caller's transaction. */
export function closeLeaf(connection: Connection, nowMs: number, n: number, { state, result, failure, worker }: Closing): void {
  connection.run(FINISH, state, nowMs, toBlob(FailureSchema, failure), toBlob(LeafResultSchema, result), n);
  if (failure !== undefined) noteAttempt(connection, nowMs, n, worker ?? "", failure);
  connection.run(FORGET_GATES, n);
  filesAreDue(connection, nowMs, n);
  forgetWakes(connection, n);
}

/** Note a failed attempt; the leaf is ready again at `notBeforeMs` or its deadline, or at once if a cancel is asked for. Inside the caller's transaction. */
export function retryLeaf(
  connection: Connection,
  nowMs: number,
  claim: Claim,
  failure: Failure,
  notBeforeMs: number,
  events: readonly NewEvent[],
): void {
  const leaf = requireOwner(connection, claim);
  const dueMs = Math.min(Math.max(0, Math.ceil(notBeforeMs)), leaf.deadline_ms ?? Number.POSITIVE_INFINITY);
  const due = leaf.cancel_requested === 0 ? dueMs : 0;
  connection.run(RETRY, leaf.n, due, nowMs, toBlob(FailureSchema, failure));
  noteAttempt(connection, nowMs, leaf.n, leaf.worker_name ?? "", failure);
  enqueueFirst(connection, leaf);
  appendEvents(connection, leaf.n, nowMs, events, { state: LeafState.RETRYING, notBeforeMs: BigInt(due), failure });
}

/** Hand a leaf back, ready at once. Inside the caller's transaction. */
export function releaseLeaf(connection: Connection, nowMs: number, claim: Claim, note: string): void {
  letGo(connection, nowMs, requireOwner(connection, claim), note);
}

/** Hand back every leaf that a dead worker holds; returns their number. Inside the caller's transaction. */
export function releaseLeavesOf(connection: Connection, nowMs: number, workerName: string, note: string): number {
  const held = connection.all<LeafRef>(HELD_BY, workerName);
  for (const leaf of held) letGo(connection, nowMs, leaf, note, [], true);
  return held.length;
}

/** Those under a live lease are their worker's to end, those that wait its successor's for a while. */
const FIND = `SELECT n, tenant, session_id, state, due_ms, worker_name FROM harness_leaves INDEXED BY harness_leaves_deadline
  WHERE state < 6 AND deadline_ms <= ?1 AND (state = ${LeafState.QUEUED} OR deadline_ms <= ?2)
  AND NOT (state = ${LeafState.RUNNING} AND due_ms > ?1) ORDER BY deadline_ms LIMIT ?3`;

type Found = LeafRef & { state: LeafState; due_ms: number | null; worker_name: string | null };

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
