import { clone, toBinary } from "@bufbuild/protobuf";
import { newId } from "@serverless-harness/kit/ids";
import { type Leaf, type LeafSpec, LeafSpecSchema, LeafState } from "@serverless-harness/proto/leaf";
import { fingerprint, keyReused } from "../fingerprint.ts";
import type { NewLeaf } from "../leaf-store.ts";
import { sessionNotFound } from "../store-errors.ts";
import { callId } from "./calls.ts";
import { type Database, RESERVE, UNRESERVE } from "./database.ts";
import { stateEvent } from "./events.ts";
import type { Hints } from "./hints.ts";
import { indexesOf } from "./indexes.ts";
import { sessionName } from "./names.ts";
import { leafOf } from "./records.ts";
import { bytes, list, runScript, text } from "./scripts.ts";

/** A reservation that nobody wrote a leaf for may be replaced after this time. */
const ABANDONED_MS = 60_000;
/** Who reserved must write within this time, or reserve again: well before another one may take the key. */
const WRITE_WITHIN_MS = 30_000;

const QUEUED = stateEvent({ state: LeafState.QUEUED });

/** The leaf that is to be written: its id, and a spec whose session is named. */
interface Plan {
  readonly leafId: string;
  readonly spec: LeafSpec;
  /** Absent: no idempotency key stands for it. */
  readonly writeBefore?: number;
}

/**
 * Write a leaf. An idempotency key lives outside the leaf's partition, so it is taken first and names the leaf to be: whoever comes with the
 * same key and spec then, after a crash in between as well, writes that very leaf or finds it.
 */
export async function submitLeaf(
  database: Database,
  hints: Hints,
  { spec, idempotencyKey }: NewLeaf,
): Promise<{ leaf: Leaf; created: boolean }> {
  const call = callId();
  for (;;) {
    const plan = idempotencyKey === "" ? freshPlan(database, spec) : await reserve(database, spec, idempotencyKey);
    const written = await write(database, hints, plan, call).catch(async (error: unknown) => {
      const what = error instanceof Error ? (error.message.split(" ")[0] ?? "") : "";
      if (what === "TOO_LATE") return undefined;
      if (what !== "SESSION_NOT_FOUND" && what !== "REFUSED") throw error;
      if (idempotencyKey !== "") {
        await runScript(database.client, UNRESERVE, [database.names.idempotency(spec.tenant, idempotencyKey)], [plan.leafId]);
      }
      if (what === "SESSION_NOT_FOUND") throw sessionNotFound();
      return undefined;
    });
    if (written !== undefined) return written;
  }
}

function freshPlan({ names }: Database, spec: LeafSpec): Plan {
  const filled = clone(LeafSpecSchema, spec);
  // A session that is made here can't exist already; the store says so.
  if (filled.sessionId === "") filled.sessionId = newId("session");
  return { leafId: names.newLeafId(names.partitionOf(sessionName(filled.tenant, filled.sessionId))), spec: filled };
}

async function reserve(database: Database, spec: LeafSpec, key: string): Promise<Plan> {
  const print = fingerprint(spec);
  const own = freshPlan(database, spec);
  let replaced = "";
  for (;;) {
    const args = [database.time, own.leafId, own.spec.sessionId, print, replaced, ABANDONED_MS];
    const reply = list(await runScript(database.client, RESERVE, [database.names.idempotency(spec.tenant, key)], args));
    const [leafId, sessionId, at, young] = [text(reply[0]), text(reply[1]), Number(text(reply[3])), text(reply[4]) === "1"];
    if (bytes(reply[2]).equals(print)) {
      const filled = clone(LeafSpecSchema, spec);
      filled.sessionId = sessionId;
      return { leafId, spec: filled, writeBefore: at + WRITE_WITHIN_MS };
    }
    // The key stands for another leaf, unless that one was never written and whoever wanted to is gone.
    if (young || replaced !== "" || (await readLeaf(database, leafId)) !== undefined) throw keyReused();
    replaced = leafId;
  }
}

async function write(database: Database, hints: Hints, plan: Plan, call: string): Promise<{ leaf: Leaf; created: boolean }> {
  const { leafId, spec, writeBefore } = plan;
  const { names } = database;
  const session = sessionName(spec.tenant, spec.sessionId);
  const partition = names.partitionOf(session);
  const reply = await database.run(
    "submit",
    partition,
    leafId,
    session,
    spec.sessionMustExist ? "1" : "",
    writeBefore ?? "",
    call,
    toBinary(LeafSpecSchema, spec),
    QUEUED,
    partition,
    names.partitions,
    ...indexesOf(spec),
  );
  const [created, record, news] = list(reply);
  await hints.tell(partition, news);
  const leaf = leafOf(record);
  if (leaf === undefined) throw new Error(`the leaf store's Redis wrote leaf ${leafId} and sent no record`);
  return { leaf, created: text(created) === "1" };
}

/** A leaf's record, or `undefined`. */
export async function readLeaf(database: Database, leafId: string): Promise<Leaf | undefined> {
  const partition = database.names.partitionOfLeaf(leafId);
  if (partition === undefined) return undefined;
  return leafOf(await database.run("get", partition, leafId));
}
