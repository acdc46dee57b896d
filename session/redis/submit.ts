import { create, toBinary } from "@bufbuild/protobuf";
import { newId } from "@serverless-harness/kit/ids";
import { type Leaf, LeafSchema, type LeafSpec, LeafSpecSchema, LeafState } from "@serverless-harness/proto/leaf";
import type { Charge } from "../contract/accounts.ts";
import { leafExpired, sessionExistsAlready, sessionNotFound } from "../contract/errors.ts";
import { fingerprint, keyReused } from "../contract/fingerprint.ts";
import type { NewLeaf } from "../contract/leaf-store.ts";
import { chargeArguments, limitError } from "./accounts.ts";
import type { Database } from "./database.ts";
import { stateEvent } from "./events.ts";
import { indexesOf } from "./indexes.ts";
import { encode, idempotencyName, sessionName } from "./names.ts";
import { RESERVE, UNRESERVE } from "./programs.ts";
import { leafOf } from "./records.ts";
import { readTombstone } from "./retention.ts";
import { bytes, callId, list, runScript, text } from "./scripts.ts";

/** A reservation that nobody wrote a leaf for may be replaced after this time. */
const ABANDONED_MS = 60_000;
/** Who reserved must write within this time, or reserve again: well before another one may take the key. */
const WRITE_WITHIN_MS = 30_000;

const QUEUED = stateEvent({ state: LeafState.QUEUED });

/** The leaf that is to be written: its id, and a spec whose session is named. */
interface Plan {
  readonly leafId: string;
  readonly spec: LeafSpec;
  /** The idempotency key that stands for it, as keys name it. */
  readonly name?: string;
  /** The key is not taken yet: the fingerprint to take it with. */
  readonly take?: Uint8Array;
  /** It is taken: until then the leaf must be written. */
  readonly writeBefore?: number;
  /** Somebody outside is to be told of it. */
  readonly notify?: boolean;
  /** Whom it is counted for besides its tenant, and under which limits. */
  readonly charge?: Charge | undefined;
}

/**
 * Write a leaf. An idempotency key lives outside the leaf's partition. If both are on one node it is taken with the leaf, in one step. Otherwise,
 * or if it is known already, it is taken first and names the leaf to be: whoever comes with the same key and spec then, after a crash in
 * between as well, writes that very leaf or finds it.
 */
export async function submitLeaf(
  database: Database,
  { spec, idempotencyKey, notify = false, charge }: NewLeaf,
): Promise<{ leaf: Leaf; created: boolean }> {
  const call = callId();
  const name = idempotencyKey === "" ? "" : idempotencyName(spec.tenant, idempotencyKey);
  if (name === "" || database.together) {
    const plan = { ...freshPlan(database, spec), name, notify, charge, ...(name === "" ? {} : { take: fingerprint(spec) }) };
    const written = await attempt(database, plan, call);
    if (typeof written === "object") return written;
    refuse(written);
  }
  for (;;) {
    const plan = { ...(await reserve(database, spec, name)), notify, charge };
    const written = await attempt(database, plan, call);
    if (typeof written === "object") return written;
    if (written === "TOO_LATE") continue;
    if (written === "EXPIRED") throw leafExpired();
    await runScript(database.client, UNRESERVE, [database.names.idempotency(name)], [plan.leafId]);
    refuse(written);
  }
}

/** Throw what a word means that says that the spec and its session don't go together. */
function refuse(word: string): void {
  if (word === "SESSION_NOT_FOUND") throw sessionNotFound();
  if (word === "SESSION_EXISTS") throw sessionExistsAlready();
}

/** Write a leaf, or the word that says why not. */
async function attempt(database: Database, plan: Plan, call: string): Promise<{ leaf: Leaf; created: boolean } | string> {
  try {
    return (await write(database, plan, call)) ?? "KEY_TAKEN";
  } catch (error) {
    const word = error instanceof Error ? (error.message.split(" ")[0] ?? "") : "";
    if (word === "LIMIT") throw limitError((error as Error).message, plan.charge, database.nowMs);
    if (["TOO_LATE", "SESSION_NOT_FOUND", "SESSION_EXISTS", "REFUSED", "EXPIRED"].includes(word)) return word;
    throw error;
  }
}

function freshPlan({ names }: Database, spec: LeafSpec): Plan {
  // A session that is made here can't exist already; the store says so.
  const filled = { ...spec, sessionId: spec.sessionId || newId("session") };
  return { leafId: names.newLeafId(names.partitionOf(sessionName(filled.tenant, filled.sessionId))), spec: filled };
}

async function reserve(database: Database, spec: LeafSpec, name: string): Promise<Plan> {
  const print = fingerprint(spec);
  const own = freshPlan(database, spec);
  let replaced = "";
  for (;;) {
    const args = [database.time, own.leafId, encode(own.spec.sessionId), print, replaced, ABANDONED_MS];
    const reply = list(await runScript(database.client, RESERVE, [database.names.idempotency(name)], args));
    const [leafId, sessionId, at, young] = [
      text(reply[0]),
      decodeURIComponent(text(reply[1])),
      Number(text(reply[3])),
      text(reply[4]) === "1",
    ];
    if (bytes(reply[2]).equals(print)) {
      return { leafId, spec: { ...spec, sessionId }, name, writeBefore: at + WRITE_WITHIN_MS };
    }
    // The key stands for another leaf, unless that one was never written and whoever wanted to is gone.
    if (young || replaced !== "" || (await isOrWas(database, leafId))) throw keyReused();
    replaced = leafId;
  }
}

/** A leaf was written under this id. */
async function isOrWas(database: Database, leafId: string): Promise<boolean> {
  return (await readLeaf(database, leafId)) !== undefined || (await readTombstone(database, leafId)) !== undefined;
}

/** Write a leaf, or find it. `undefined` if the idempotency key that was to be taken with it is taken. */
async function write(database: Database, plan: Plan, call: string): Promise<{ leaf: Leaf; created: boolean } | undefined> {
  const { leafId, spec, name = "", take = "", writeBefore = "", notify = false, charge } = plan;
  const { names } = database;
  const session = sessionName(spec.tenant, spec.sessionId);
  const wanted = spec.fork === undefined ? (spec.sessionMustExist ? "1" : "") : "new";
  const args = [leafId, session, wanted, writeBefore, call, toBinary(LeafSpecSchema, spec), QUEUED];
  const flags = [spec.files === undefined ? "" : "1", notify ? "1" : ""];
  const more = [names.partitions, spec.priority, name, take, spec.limits?.deadlineMs ?? 0, ...flags];
  const partition = names.partitionOf(session);
  const charged = await chargeArguments(database, spec.tenant, partition, charge);
  const [created, found] = await database.change("submit", partition, ...args, ...more, ...charged, ...indexesOf(spec));
  if (created === undefined) return undefined;
  // What was written is known here, but for the time.
  const leaf = Array.isArray(found) ? leafOf(leafId, found) : newLeaf(leafId, spec, BigInt(text(found)));
  if (leaf === undefined) throw new Error(`the leaf store's Redis wrote leaf ${leafId} and sent no record`);
  return { leaf, created: text(created) === "1" };
}

function newLeaf(leafId: string, spec: LeafSpec, at: bigint): Leaf {
  return create(LeafSchema, { leafId, spec, state: LeafState.QUEUED, createdAtMs: at, updatedAtMs: at, lastSeq: 1n });
}

/** A leaf's record, or `undefined`. */
export async function readLeaf(database: Database, leafId: string): Promise<Leaf | undefined> {
  const partition = database.names.partitionOfLeaf(leafId);
  if (partition === undefined) return undefined;
  return leafOf(leafId, await database.run("get", partition, leafId));
}
