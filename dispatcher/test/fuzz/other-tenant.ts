import { randomBytes } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { create } from "@bufbuild/protobuf";
import type { Client } from "@connectrpc/connect";
import {
  FailureReason,
  FailureSchema,
  GateSchema,
  LeafResultSchema,
  type LeafSpecSchema,
  LeafState,
  MessageMode,
  type ScheduleService,
  type TokenService,
} from "@serverless-harness/proto/leaf";
import type { LeafStore } from "@serverless-harness/session";
import { claimed, newLeaf, textDelta } from "../support.ts";
import type { Ids } from "./plants.ts";

const DAY_MS = 86_400_000;

/** A tenant with one of everything. */
export interface Household {
  readonly tenant: string;
  /** What its things are called, by what they are. */
  readonly ids: Ids;
  /** Words that stand in its things and in no id. */
  readonly secrets: readonly string[];
  /** All that the store holds of it, as text. */
  readonly state: () => Promise<string>;
}

/** What {@link furnish} stands on. */
export interface Town {
  readonly store: LeafStore;
  readonly volume: string;
  readonly schedules: Client<typeof ScheduleService>;
  readonly tokens: Client<typeof TokenService>;
}

/** A name that nobody guesses. */
export function nameFor(what: string): string {
  return `${what}-${randomBytes(8).toString("hex")}`;
}

/** A leaf that was there, and of which only its tombstone is left. Takes with it all that is over. */
export async function goneLeaf(store: LeafStore, tenant: string): Promise<string> {
  const { leaf } = await store.submit(newLeaf({ tenant, prompt: "gone" }));
  await store.finish(await claimed(store), { state: LeafState.DONE, result: create(LeafResultSchema, { text: "gone" }) }, []);
  while ((await store.tombstone(leaf.leafId)) === undefined) await store.sweep({ leafMs: 0, tombstoneMs: DAY_MS }, 100);
  return leaf.leafId;
}

/** Make one of everything for a tenant: leaves that are done, failed, at a gate and gone, with their sessions, a schedule, a token, a sandbox, a dead letter, files. */
export async function furnish({ store, volume, schedules, tokens }: Town, tenant: string, leafGone: string): Promise<Household> {
  const secrets: string[] = [];
  const secret = (): string => {
    const word = `canary${randomBytes(9).toString("hex")}`;
    secrets.push(word);
    return word;
  };
  const [sessionId, scheduleId, gateId, idempotencyKey, messageId, sandbox] = [
    "session",
    "schedule",
    "gate",
    "key",
    "message",
    "sandbox",
  ].map(nameFor);
  const [resultRef, inputsRef] = ["result", "inputs"].map(nameFor).map((name) => join(volume, tenant, `${name}.json`));
  if (!sessionId || !scheduleId || !gateId || !idempotencyKey || !messageId || !sandbox || !resultRef || !inputsRef)
    throw new Error("no ids");
  const submit = async (init: MessageInitShape<typeof LeafSpecSchema>, key = ""): Promise<string> => {
    const spec = { tenant, prompt: secret(), systemPrompt: secret(), labels: { word: secret() }, ...init };
    const { leaf } = await store.submit({ ...newLeaf(spec), idempotencyKey: key, notify: true });
    return leaf.leafId;
  };

  const done = await submit({ sessionId }, idempotencyKey);
  const working = await claimed(store);
  await store.append(working, [textDelta(secret())]);
  await store.finish(working, { state: LeafState.DONE, result: create(LeafResultSchema, { text: secret() }) }, []);
  const failed = await submit({});
  const failure = create(FailureSchema, { reason: FailureReason.MODEL_REFUSED, message: secret() });
  await store.finish(await claimed(store), { state: LeafState.FAILED, failure }, []);
  const asking = await submit({});
  const asked = await claimed(store);
  await store.openGate(asked, create(GateSchema, { gateId, tool: "bash", summary: secret(), proposedAction: secret() }));
  await store.suspend(asked, { gateIds: [gateId] }, secret(), []);
  await store.send(asking, { messageId, mode: MessageMode.STEER, text: secret(), sentBy: secret() });
  for (const notice of await store.claimNotices(100, [], 60_000))
    await store.settleNotice(notice, { kind: "dead", note: JSON.stringify({ "leaf:0": { attempts: 1, error: secret(), end: "dead" } }) });

  await schedules.createSchedule({
    schedule: { tenant, scheduleId, cron: "0 0 1 1 *", spec: { prompt: secret(), labels: { a: secret() } } },
  });
  const { token } = await tokens.create({ tenant, subject: secret(), scopes: ["leaves:read"] });
  await store.sandboxes.report({ name: sandbox, tenant, address: `http://${secret()}:1`, stateId: secret() }, DAY_MS);
  await mkdir(join(volume, tenant), { recursive: true });
  const item = { item_id: secret(), file: secret(), pattern: secret() };
  for (const path of [resultRef, inputsRef]) await writeFile(path, JSON.stringify(item));

  const leaves = { leafGone, leafDone: done, leafFailed: failed, leafAsking: asking };
  const names = {
    tenant,
    sandbox,
    sessionId,
    scheduleId,
    gateId,
    idempotencyKey,
    messageId,
    resultRef,
    inputsRef,
    tokenId: token?.tokenId ?? "",
  };
  const state = async (): Promise<string> => {
    const found = await Promise.all(
      Object.values(leaves).map(async (leafId) => [await store.get(leafId), await store.events(leafId, 0n, 1000)]),
    );
    const sandboxes = (await store.sandboxes.list()).sandboxes.filter((each) => each.tenant === tenant);
    const all = [
      found,
      sandboxes,
      await store.listSchedules(tenant, 100),
      await store.listTokens(tenant, 100),
      await store.deadNotices(tenant, 100),
    ];
    return JSON.stringify(all, (_key, value: unknown) => (typeof value === "bigint" ? String(value) : value));
  };
  return { tenant, ids: { ...leaves, ...names }, secrets, state };
}
