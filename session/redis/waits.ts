import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { DecisionSchema, type Gate, GateSchema } from "@serverless-harness/proto/leaf";
import type { Claim, NewEvent } from "../contract/claim.ts";
import { deadlinePassed, gateNotFound, gateReused, leafEnded, leafNotFound, tooManyGates } from "../contract/errors.ts";
import {
  asAsked,
  assertSameDecision,
  checkDecision,
  checkGate,
  kindAtDeadline,
  MAX_OPEN_GATES,
  type NewDecision,
  type NewGate,
} from "../contract/gates.ts";
import { checkWait, isEmptyWait, isWakeKey, MAX_WAKE_KEYS, type Wait } from "../contract/waiting.ts";
import type { Database } from "./database.ts";
import { encode, sessionName } from "./names.ts";
import { end, runOwned } from "./outcome.ts";
import { bytes, callId, text } from "./scripts.ts";

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

/** Decide a gate. What the script returns is the decision that stands, which may be another one. */
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

/** End the wait for a key of the leaf that is a session's turn. */
export async function rouseSession(database: Database, tenant: string, sessionId: string, note: string): Promise<boolean> {
  const session = sessionName(tenant, sessionId);
  const [roused] = await database.change("rouse", database.names.partitionOf(session), session, note);
  return text(roused) === "1";
}

/** Let go of a leaf until what it waits for happens. */
export async function suspendLeaf(database: Database, claim: Claim, wait: Wait, note: string, events: readonly NewEvent[]): Promise<void> {
  checkWait(wait);
  const { gateIds = [], wakeKey = "", notBeforeMs } = wait;
  const times = notBeforeMs === undefined ? "" : Math.ceil(notBeforeMs);
  const fields = [note, wakeKey, times, isEmptyWait(wait) ? "1" : "", gateIds.length, ...gateIds.map(encode)];
  const [refusal] = await end(database, "suspend", claim, fields, events);
  if (refusal !== undefined) throw gateNotFound();
}

/** Hand a leaf back, ready at once. */
export async function releaseLeaf(database: Database, claim: Claim, note: string): Promise<void> {
  await suspendLeaf(database, claim, {}, note, []);
}

/** End a leaf's wait for a key, or keep the wake for who will wait for it. */
export async function wakeLeaf(database: Database, leafId: string, key: string): Promise<boolean> {
  const partition = database.names.partitionOfLeaf(leafId);
  if (partition === undefined || !isWakeKey(key)) return false;
  const [waited] = await database.change("wake", partition, leafId, key, callId(), MAX_WAKE_KEYS);
  return text(waited) === "1";
}
