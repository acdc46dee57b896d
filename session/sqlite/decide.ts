import type { Gate, LeafState } from "@serverless-harness/proto/leaf";
import { deadlinePassed, gateNotFound, leafEnded, leafNotFound } from "../contract/errors.ts";
import { assertSameDecision, checkDecision, decisionOf, defaultDecision, isOverdue } from "../contract/gate-rules.ts";
import { hasPassed } from "../contract/leaf-deadline.ts";
import { isTerminal } from "../contract/leaf-state.ts";
import type { NewDecision } from "../contract/waiting.ts";
import type { Connection } from "./connection.ts";
import { findGate, writeDecision } from "./gates.ts";
import type { Place } from "./session-order.ts";
import { endWait } from "./waits.ts";

const FIND = "SELECT n, tenant, session_id, state, epoch, waiting, deadline_ms FROM harness_leaves WHERE leaf_id = ?";

type Asker = Place & { state: LeafState; epoch: number; waiting: number; deadline_ms: number | null };

/**
 * Answer a gate, inside the caller's transaction. Returns the gate with the decision that stands, which is the gate's own where the deadline is
 * over: whether that is what was to be decided, the caller checks behind the commit, by {@link assertSameDecision}.
 */
export function decideGate(connection: Connection, nowMs: number, leafId: string, gateId: string, decision: NewDecision): Gate {
  checkDecision(decision);
  const leaf = connection.one<Asker>(FIND, leafId);
  if (leaf === undefined) throw leafNotFound();
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
