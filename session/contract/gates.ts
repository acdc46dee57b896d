import { create } from "@bufbuild/protobuf";
import { Validation } from "@serverless-harness/kit/validate";
import { type Decision, DecisionKind, DecisionSchema, type Gate, GateSchema } from "@serverless-harness/proto/leaf";
import { gateDecided } from "./errors.ts";

/** A gate as it is opened. */
export type NewGate = Omit<Gate, "openedAtMs" | "decision">;

/** A decision as it is made. */
export type NewDecision = Pick<Decision, "kind" | "feedback" | "decidedBy">;

/** Open gates of one leaf. */
export const MAX_OPEN_GATES = 32;

const KINDS: readonly DecisionKind[] = [DecisionKind.APPROVE, DecisionKind.REJECT, DecisionKind.ABORT];

/** Throw INVALID_ARGUMENT that names every field of a gate that is out of its limits. */
export function checkGate(gate: NewGate): void {
  const validation = new Validation();
  validation.characters("gate.gate_id", gate.gateId, 1, 128);
  validation.characters("gate.tool", gate.tool, 1, 128);
  validation.line("gate.tool", gate.tool);
  validation.maxBytes("gate.summary", gate.summary, 4096);
  validation.maxBytes("gate.proposed_action", gate.proposedAction, 65_536);
  validation.characters("gate.arguments_hash", gate.argumentsHash, 0, 256);
  validation.range("gate.deadline_ms", gate.deadlineMs, 0, Number.MAX_SAFE_INTEGER);
  const kinds = [DecisionKind.UNSPECIFIED, ...KINDS];
  validation.check("gate.on_deadline", kinds.includes(gate.onDeadline), "must be approve, reject, abort or unset");
  validation.done();
}

/** Throw INVALID_ARGUMENT that names every field of a decision that is out of its limits. */
export function checkDecision(decision: NewDecision): void {
  const validation = new Validation();
  validation.check("decision.kind", KINDS.includes(decision.kind), "must be approve, reject or abort");
  validation.maxBytes("decision.feedback", decision.feedback, 65_536);
  validation.characters("decision.decided_by", decision.decidedBy, 0, 256);
  validation.line("decision.decided_by", decision.decidedBy);
  validation.done();
}

/** A gate's deadline is over at `nowMs`. */
export function isOverdue({ deadlineMs }: Pick<Gate, "deadlineMs">, nowMs: number): boolean {
  return deadlineMs > 0n && deadlineMs <= BigInt(Math.floor(nowMs));
}

/** A gate as it was asked for, without what the store adds; whatever else the caller's message holds is left out. */
export function asAsked({ gateId, tool, summary, proposedAction, argumentsHash, deadlineMs, onDeadline }: NewGate): Gate {
  return create(GateSchema, { gateId, tool, summary, proposedAction, argumentsHash, deadlineMs, onDeadline });
}

/** What is decided if nobody did in time. */
export function kindAtDeadline({ onDeadline }: Pick<Gate, "onDeadline">): DecisionKind {
  return onDeadline === DecisionKind.UNSPECIFIED ? DecisionKind.REJECT : onDeadline;
}

/** The decision that the deadline makes. */
export function defaultDecision(gate: Pick<Gate, "onDeadline">, nowMs: number): Decision {
  return decisionOf({ kind: kindAtDeadline(gate), feedback: "", decidedBy: "deadline" }, nowMs);
}

/** A decision that is made at `nowMs`. */
export function decisionOf({ kind, feedback, decidedBy }: NewDecision, nowMs: number): Decision {
  return create(DecisionSchema, { kind, feedback, decidedBy, decidedAtMs: BigInt(Math.floor(nowMs)) });
}

/** Throw ALREADY_EXISTS `gate_decided` if `decision` says something else than the one that stands. */
export function assertSameDecision(standing: NewDecision, decision: NewDecision): void {
  const same = standing.kind === decision.kind && standing.feedback === decision.feedback && standing.decidedBy === decision.decidedBy;
  if (!same) throw gateDecided();
}
