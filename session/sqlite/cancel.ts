import { create } from "@bufbuild/protobuf";
import { CancelRequestedSchema, type Leaf, LeafState } from "@serverless-harness/proto/leaf";
import { leafNotFailed, leafNotFound } from "../contract/errors.ts";
import { isTerminal } from "../contract/leaf.ts";
import { checkRequestedBy } from "../contract/waiting.ts";
import type { Connection } from "./connection.ts";
import { appendEvents } from "./events.ts";
import { filesAreDue } from "./files.ts";
import { forgetAttempts, readLeafByNumber } from "./records.ts";
import { enqueueFirst, headOf, type LeafRef, takeOut } from "./sessions.ts";
import { endWait, forgetWakes } from "./waits.ts";

const FIND = "SELECT n, tenant, session_id, state, due_ms, waiting, cancel_requested FROM harness_leaves WHERE leaf_id = ?";
const REQUEST = "UPDATE harness_leaves SET cancel_requested = 1 WHERE n = ?";
const CANCEL = `UPDATE harness_leaves SET state = ${LeafState.CANCELLED}, due_ms = NULL, updated_ms = ? WHERE n = ?`;

type Found = LeafRef & { state: LeafState; due_ms: number | null; waiting: number; cancel_requested: number };

/** Ask for a leaf's end, inside the caller's transaction. */
export function cancelLeaf(connection: Connection, nowMs: number, leafId: string, requestedBy: string): Leaf {
  checkRequestedBy(requestedBy);
  const leaf = connection.one<Found>(FIND, leafId);
  if (leaf === undefined) throw leafNotFound();
  if (!isTerminal(leaf.state) && leaf.cancel_requested === 0) request(connection, nowMs, leaf, requestedBy);
  return readLeafByNumber(connection, leaf.n);
}

function request(connection: Connection, nowMs: number, leaf: Found, requestedBy: string): void {
  connection.run(REQUEST, leaf.n);
  const value = create(CancelRequestedSchema, { requestedBy });
  appendEvents(connection, leaf.n, nowMs, [{ event: { case: "cancelRequested", value } }]);
  if (leaf.state === LeafState.QUEUED) end(connection, nowMs, leaf);
  else if (leaf.waiting !== 0 || leaf.state === LeafState.RETRYING) endWait(connection, nowMs, leaf, "cancel requested");
}

/** Nobody ran it since it was queued, so there is nothing to be ended by a worker. */
function end(connection: Connection, nowMs: number, leaf: Found): void {
  connection.run(CANCEL, nowMs, leaf.n);
  filesAreDue(connection, nowMs, leaf.n);
  forgetWakes(connection, leaf.n);
  // A leaf without a place in the queue held up nobody.
  if (leaf.due_ms !== null) enqueueFirst(connection, leaf);
  appendEvents(connection, leaf.n, nowMs, [], { state: LeafState.CANCELLED });
}

const FIND_FAILED = "SELECT n, tenant, session_id, state FROM harness_leaves WHERE leaf_id = ?";
const REDRIVE = `UPDATE harness_leaves SET state = ${LeafState.QUEUED}, due_ms = ?, updated_ms = ?, failure = NULL, attempts = 0,
  failed_attempts = 0, cancel_requested = 0, redrives = redrives + 1, restarts = restarts + ? WHERE n = ?`;

/** Queue a failed leaf again, inside the caller's transaction. */
export function redriveLeaf(connection: Connection, nowMs: number, leafId: string, fromStart: boolean): Leaf {
  const leaf = connection.one<LeafRef & { state: LeafState }>(FIND_FAILED, leafId);
  if (leaf === undefined) throw leafNotFound();
  if (leaf.state === LeafState.FAILED) {
    connection.run(REDRIVE, goBefore(connection, leaf) ? 0 : null, nowMs, fromStart ? 1 : 0, leaf.n);
    forgetAttempts(connection, leaf.n);
    appendEvents(connection, leaf.n, nowMs, [], { state: LeafState.QUEUED, note: fromStart ? "redriven from the start" : "redriven" });
  } else if (isTerminal(leaf.state)) throw leafNotFailed();
  return readLeafByNumber(connection, leaf.n);
}

/**
 * Make room in the queue for a leaf that is older than others of its session. False if it has to wait: for an older one, or for one that runs,
 * which keeps its session until it is let go of, also beyond its lease.
 */
function goBefore(connection: Connection, { n, tenant, session_id: sessionId }: LeafRef): boolean {
  const head = headOf(connection, tenant, sessionId);
  if (head === undefined) return true;
  // A queued head without a place in the queue waits for a younger one that runs, as this leaf has to.
  const runs = head.state === LeafState.RUNNING || (head.state === LeafState.QUEUED && head.due_ms === null);
  if (head.n < n || runs) return false;
  takeOut(connection, head.n);
  return true;
}
