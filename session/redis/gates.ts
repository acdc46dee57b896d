import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { DecisionSchema, type Gate, GateSchema } from "@serverless-harness/proto/leaf";
import { deadlinePassed, gateNotFound, gateReused, leafEnded, leafNotFound, tooManyGates } from "../contract/errors.ts";
import { asAsked, assertSameDecision, checkDecision, checkGate, kindAtDeadline, MAX_OPEN_GATES } from "../contract/gate-rules.ts";
import type { Claim } from "../contract/leaf-store.ts";
import type { NewDecision, NewGate } from "../contract/waiting.ts";
import type { Database } from "./database.ts";
import { encode } from "./names.ts";
import { runOwned } from "./outcome.ts";
import { bytes, text } from "./scripts.ts";

/** Open a gate, or find it. One whose deadline is over is decided by that. */
export async function openGate(database: Database, claim: Claim, gate: NewGate): Promise<Gate> {
  checkGate(gate);
  const { gateId, argumentsHash, deadlineMs } = gate;
  const message = toBinary(GateSchema, asAsked(gate));
  const args = [encode(gateId), gateId, message, argumentsHash, deadlineMs, kindAtDeadline(gate), MAX_OPEN_GATES];
  const [word, found] = await runOwned(database, "openGate", claim, ...args);
  if (text(word) === "REUSED") throw gateReused();
  if (text(word) === "TOO_MANY") throw tooManyGates(MAX_OPEN_GATES);
  return fromBinary(GateSchema, bytes(found));
}

/** Answer a gate. What the script returns is the decision that stands, which may be another one. */
export async function decideGate(database: Database, leafId: string, gateId: string, decision: NewDecision): Promise<Gate> {
  checkDecision(decision);
  const partition = database.names.partitionOfLeaf(leafId);
  if (partition === undefined) throw leafNotFound();
  const { kind, feedback, decidedBy } = decision;
  const message = toBinary(DecisionSchema, create(DecisionSchema, { kind, feedback, decidedBy }));
  const [word, found] = await database.change("decide", partition, leafId, encode(gateId), gateId, message);
  if (text(word) === "NO_LEAF") throw leafNotFound();
  if (text(word) === "ENDED") throw leafEnded();
  if (text(word) === "TOO_LATE") throw deadlinePassed();
  if (text(word) === "NO_GATE") throw gateNotFound();
  const gate = fromBinary(GateSchema, bytes(found));
  if (gate.decision !== undefined) assertSameDecision(gate.decision, decision);
  return gate;
}
