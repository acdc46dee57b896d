import { create } from "@bufbuild/protobuf";
import { CancelRequestedSchema, type Leaf, LeafState } from "@serverless-harness/proto/leaf";
import { leafNotFound } from "../contract/errors.ts";
import { isTerminal } from "../contract/leaf-state.ts";
import { checkRequestedBy } from "../contract/wait-rules.ts";
import type { Connection } from "./connection.ts";
import { appendEvents } from "./events.ts";
import { filesAreDue } from "./files.ts";
import { readLeafByNumber } from "./records.ts";
import { enqueueFirst, type Place } from "./session-order.ts";
import { endWait } from "./waits.ts";
import { forgetWakes } from "./wakes.ts";

const FIND = "SELECT n, tenant, session_id, state, due_ms, waiting, cancel_requested FROM harness_leaves WHERE leaf_id = ?";
const REQUEST = "UPDATE harness_leaves SET cancel_requested = 1 WHERE n = ?";
const CANCEL = `UPDATE harness_leaves SET state = ${LeafState.CANCELLED}, due_ms = NULL, updated_ms = ? WHERE n = ?`;

type Found = Place & { state: LeafState; due_ms: number | null; waiting: number; cancel_requested: number };

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
