import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { type Decision, type Gate, GateDecidedSchema, GateOpenedSchema, GateSchema } from "@serverless-harness/proto/leaf";
import type { Claim } from "../contract/claim.ts";
import { gateReused, tooManyGates } from "../contract/errors.ts";
import { asAsked, checkGate, defaultDecision, isOverdue, MAX_OPEN_GATES, type NewGate } from "../contract/gates.ts";
import type { Bytes, Connection } from "./connection.ts";
import { appendEvents } from "./events.ts";
import { requireOwner } from "./ownership.ts";

const FIND = "SELECT gate, waited_epoch FROM harness_gates WHERE n = ? AND gate_id = ?";
const OPEN = "SELECT gate FROM harness_gates WHERE n = ? AND decided = 0 ORDER BY id";
const INSERT = "INSERT INTO harness_gates (n, gate_id, gate) VALUES (?, ?, ?)";
const DECIDE = "UPDATE harness_gates SET decided = 1, gate = ? WHERE n = ? AND gate_id = ?";
const COUNT = "UPDATE harness_leaves SET open_gates = open_gates + ? WHERE n = ? RETURNING open_gates";

/** A gate, and the epoch of the claim that waits for it. */
export interface FoundGate {
  readonly gate: Gate;
  readonly waitedEpoch: number;
}

/** A leaf's gate, decided or not; `undefined` if it has none of this id. */
export function findGate(connection: Connection, n: number, gateId: string): FoundGate | undefined {
  const row = connection.one<{ gate: Bytes; waited_epoch: number }>(FIND, n, gateId);
  return row === undefined ? undefined : { gate: fromBinary(GateSchema, row.gate), waitedEpoch: row.waited_epoch };
}

/** A leaf's gates that wait for a decision, oldest first. */
export function openGatesOf(connection: Connection, n: number): Gate[] {
  return connection.all<{ gate: Bytes }>(OPEN, n).map((row) => fromBinary(GateSchema, row.gate));
}

/** Open a gate, or find it, inside the caller's transaction. One whose deadline is over is decided by that. */
export function openGate(connection: Connection, nowMs: number, claim: Claim, gate: NewGate): Gate {
  checkGate(gate);
  const { n } = requireOwner(connection, claim);
  const found = findGate(connection, n, gate.gateId)?.gate;
  if (found !== undefined && found.argumentsHash !== gate.argumentsHash) throw gateReused();
  const standing = found ?? insertGate(connection, nowMs, n, gate);
  if (standing.decision !== undefined || !isOverdue(standing, nowMs)) return standing;
  return writeDecision(connection, nowMs, n, standing, defaultDecision(standing, nowMs));
}

/** Write a gate's decision and its event, inside the caller's transaction. */
export function writeDecision(connection: Connection, nowMs: number, n: number, gate: Gate, decision: Decision): Gate {
  const decided = create(GateSchema, { ...gate, decision });
  connection.run(DECIDE, toBinary(GateSchema, decided), n, gate.gateId);
  connection.one(COUNT, -1, n);
  const value = create(GateDecidedSchema, { gateId: gate.gateId, decision });
  appendEvents(connection, n, nowMs, [{ event: { case: "gateDecided", value } }]);
  return decided;
}

function insertGate(connection: Connection, nowMs: number, n: number, gate: NewGate): Gate {
  const opened = { ...asAsked(gate), openedAtMs: BigInt(Math.floor(nowMs)) };
  const open = connection.one<{ open_gates: number }>(COUNT, 1, n)?.open_gates ?? 0;
  if (open > MAX_OPEN_GATES) throw tooManyGates(MAX_OPEN_GATES);
  connection.run(INSERT, n, gate.gateId, toBinary(GateSchema, opened));
  const value = create(GateOpenedSchema, { gate: opened });
  appendEvents(connection, n, nowMs, [{ event: { case: "gateOpened", value } }]);
  return opened;
}
