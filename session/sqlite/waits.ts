import { type Gate, LeafState } from "@serverless-harness/proto/leaf";
import type { Claim, NewEvent } from "../contract/claim.ts";
import { deadlinePassed, gateNotFound, leafEnded, leafNotFound } from "../contract/errors.ts";
import { assertSameDecision, checkDecision, decisionOf, defaultDecision, isOverdue, type NewDecision } from "../contract/gates.ts";
import { hasPassed, isTerminal } from "../contract/leaf.ts";
import { checkWait, isEmptyWait, isWakeKey, MAX_WAKE_KEYS, type Wait } from "../contract/waiting.ts";
import type { Connection } from "./connection.ts";
import { appendEvents } from "./events.ts";
import { filesAreDue } from "./files.ts";
import { findGate, writeDecision } from "./gates.ts";
import { requireOwner } from "./ownership.ts";
import { enqueueFirst, type LeafRef, readyIfFirst } from "./sessions.ts";

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
  leaf: LeafRef,
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
export function endWait(connection: Connection, nowMs: number, leaf: LeafRef, note: string): void {
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

const FIND_SLEEPER = "SELECT n, tenant, session_id, state, waiting, wake_key FROM harness_leaves WHERE leaf_id = ?";

type Sleeper = LeafRef & { state: LeafState; waiting: number; wake_key: string | null };

/** End a leaf's wait for a key, or remember the key for the suspend to come, inside the caller's transaction. */
export function wakeLeaf(connection: Connection, nowMs: number, leafId: string, key: string): boolean {
  if (!isWakeKey(key)) return false;
  const leaf = connection.one<Sleeper>(FIND_SLEEPER, leafId);
  if (leaf === undefined || isTerminal(leaf.state)) return false;
  const known = wakeOf(connection, leaf.n, key);
  if (known !== undefined) return known === "sent";
  const waits = leaf.waiting !== 0 && leaf.wake_key === key;
  rememberWake(connection, leaf.n, key, waits ? "used" : "sent");
  if (waits) endWait(connection, nowMs, leaf, "woken");
  return true;
}

const FIND_WAITING = `SELECT n, tenant, session_id FROM harness_leaves
  WHERE tenant = ? AND session_id = ? AND state < ${LeafState.DONE} AND waiting = 1 AND wake_key IS NOT NULL LIMIT 1`;

/** End the wait for a key of the leaf that is a session's turn, inside the caller's transaction. */
export function rouseSession(connection: Connection, nowMs: number, tenant: string, sessionId: string, note: string): boolean {
  const leaf = connection.one<LeafRef>(FIND_WAITING, tenant, sessionId);
  if (leaf === undefined) return false;
  endWait(connection, nowMs, leaf, note);
  return true;
}

const FIND_WAKE = "SELECT used FROM harness_wakes WHERE n = ? AND key = ?";
const REMEMBER = "INSERT INTO harness_wakes (n, key, used) VALUES (?, ?, ?)";
const USE = "UPDATE harness_wakes SET used = 1 WHERE n = ? AND key = ?";
const FORGET_OLDEST = `DELETE FROM harness_wakes WHERE n = ?1 AND id <= (
  SELECT id FROM harness_wakes WHERE n = ?1 ORDER BY id DESC LIMIT 1 OFFSET ${MAX_WAKE_KEYS})`;
const FORGET = "DELETE FROM harness_wakes WHERE n = ?";

/** What became of a leaf's key: sent ahead of the suspend that will wait for it, used, or neither. */
function wakeOf(connection: Connection, n: number, key: string): "sent" | "used" | undefined {
  const row = connection.one<{ used: number }>(FIND_WAKE, n, key);
  if (row === undefined) return undefined;
  return row.used === 0 ? "sent" : "used";
}

/** Remember that a key was sent, or used. Whoever sends many makes the oldest forgotten. Inside the caller's transaction. */
function rememberWake(connection: Connection, n: number, key: string, wake: "sent" | "used"): void {
  connection.run(REMEMBER, n, key, wake === "used" ? 1 : 0);
  connection.run(FORGET_OLDEST, n);
}

/** Use up a key that was sent ahead, inside the caller's transaction. False if there was no such wake. */
function consumeWake(connection: Connection, n: number, key: string): boolean {
  return connection.run(USE, n, key) > 0;
}

/** Forget all keys of a leaf that is over, inside the caller's transaction. */
export function forgetWakes(connection: Connection, n: number): void {
  connection.run(FORGET, n);
}

const FIND_ASKED = "SELECT n, tenant, session_id, state, epoch, waiting, deadline_ms FROM harness_leaves WHERE leaf_id = ?";

type Asker = LeafRef & { state: LeafState; epoch: number; waiting: number; deadline_ms: number | null };

/**
 * Decide a gate, inside the caller's transaction. Returns the gate with the decision that stands: one that was made before, or the gate's default
 * if its deadline is over. The caller compares it with its own by {@link assertSameDecision} after the commit: to throw here would roll the default back.
 */
export function decideGate(connection: Connection, nowMs: number, leafId: string, gateId: string, decision: NewDecision): Gate {
  checkDecision(decision);
  const leaf = connection.one<Asker>(FIND_ASKED, leafId);
  if (leaf === undefined) throw leafNotFound();
  // Its gates went with it.
  if (isTerminal(leaf.state)) throw leafEnded();
  const found = findGate(connection, leaf.n, gateId);
  if (found === undefined) throw gateNotFound();
  const { gate, waitedEpoch } = found;
  if (gate.decision !== undefined) return gate;
  if (hasPassed(leaf.deadline_ms, nowMs)) throw deadlinePassed();
  const made = isOverdue(gate, nowMs) ? defaultDecision(gate, nowMs) : decisionOf(decision, nowMs);
  const decided = writeDecision(connection, nowMs, leaf.n, gate, made);
  if (leaf.waiting !== 0 && waitedEpoch === leaf.epoch) endWait(connection, nowMs, leaf, "decided");
  return decided;
}
