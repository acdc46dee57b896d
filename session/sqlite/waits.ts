import { LeafState } from "@serverless-harness/proto/leaf";
import { gateNotFound } from "../contract/errors.ts";
import { isOverdue } from "../contract/gate-rules.ts";
import type { Claim, NewEvent } from "../contract/leaf-store.ts";
import { checkWait, isEmptyWait } from "../contract/wait-rules.ts";
import type { Wait } from "../contract/waiting.ts";
import type { Connection } from "./connection.ts";
import { appendEvents } from "./events.ts";
import { filesAreDue } from "./files.ts";
import { findGate } from "./gates.ts";
import { requireOwner } from "./ownership.ts";
import { enqueueFirst, type Place, readyIfFirst } from "./session-order.ts";
import { consumeWake } from "./wakes.ts";

const LET_GO = `UPDATE harness_leaves SET state = ?, due_ms = NULL, waiting = ?, not_before_ms = ?, wake_key = ?, updated_ms = ?, worker_lost = ?,
  worker_name = NULL, worker = NULL WHERE n = ?`;
const WAIT_FOR_GATE = "UPDATE harness_gates SET waited_epoch = ? WHERE n = ? AND gate_id = ?";
const END_WAIT = `UPDATE harness_leaves SET state = ${LeafState.SUSPENDED}, waiting = 0, not_before_ms = 0, wake_key = NULL, failure = NULL,
  updated_ms = ? WHERE n = ?`;

/** Let go of a leaf until what it waits for happens, inside the caller's transaction. */
export function suspendLeaf(
  connection: Connection,
  nowMs: number,
  claim: Claim,
  wait: Wait,
  note: string,
  events: readonly NewEvent[],
): void {
  checkWait(wait);
  const leaf = requireOwner(connection, claim);
  const { isOver, notBeforeMs } = lookAt(connection, nowMs, leaf, wait);
  if (isOver || leaf.cancel_requested !== 0) {
    letGo(connection, nowMs, leaf, note, events);
    return;
  }
  const { gateIds = [], wakeKey = null } = wait;
  for (const gateId of gateIds) connection.run(WAIT_FOR_GATE, leaf.epoch, leaf.n, gateId);
  const state = gateIds.length > 0 ? LeafState.AWAITING_APPROVAL : LeafState.SUSPENDED;
  connection.run(LET_GO, state, 1, notBeforeMs, wakeKey, nowMs, 0, leaf.n);
  if (gateIds.length > 0) filesAreDue(connection, nowMs, leaf.n);
  enqueueFirst(connection, leaf);
  appendEvents(connection, leaf.n, nowMs, events, { state, notBeforeMs: BigInt(notBeforeMs), note });
}

/** Let go of a leaf that waits for nothing, inside the caller's transaction. */
export function letGo(
  connection: Connection,
  nowMs: number,
  leaf: Place,
  note: string,
  events: readonly NewEvent[] = [],
  workerLost = false,
): void {
  const state = LeafState.SUSPENDED;
  connection.run(LET_GO, state, 0, 0, null, nowMs, workerLost ? 1 : 0, leaf.n);
  enqueueFirst(connection, leaf);
  appendEvents(connection, leaf.n, nowMs, events, { state, note });
}

/** End a leaf's wait otherwise than by time, inside the caller's transaction. */
export function endWait(connection: Connection, nowMs: number, leaf: Place, note: string): void {
  connection.run(END_WAIT, nowMs, leaf.n);
  readyIfFirst(connection, leaf);
  appendEvents(connection, leaf.n, nowMs, [], { state: LeafState.SUSPENDED, note });
}

/** Whether a wait is over before it begins, and otherwise the time at which it ends. A key that was used for waking is used up by this. */
function lookAt(
  connection: Connection,
  nowMs: number,
  { n, deadline_ms: deadlineMs }: { readonly n: number; readonly deadline_ms: number | null },
  wait: Wait,
): { isOver: boolean; notBeforeMs: number } {
  let isOver = isEmptyWait(wait);
  // A leaf that waits past its deadline would hold its session: somebody has to end it then.
  const times: number[] = deadlineMs === null ? [] : [deadlineMs];
  for (const gateId of wait.gateIds ?? []) {
    const gate = findGate(connection, n, gateId)?.gate;
    if (gate === undefined) throw gateNotFound();
    if (gate.decision !== undefined || isOverdue(gate, nowMs)) isOver = true;
    if (gate.deadlineMs > 0n) times.push(Number(gate.deadlineMs));
  }
  if (wait.wakeKey !== undefined && consumeWake(connection, n, wait.wakeKey)) isOver = true;
  if (wait.notBeforeMs !== undefined) times.push(Math.ceil(wait.notBeforeMs));
  if (times.some((time) => time <= nowMs)) isOver = true;
  return { isOver, notBeforeMs: times.length === 0 ? 0 : Math.min(...times) };
}
