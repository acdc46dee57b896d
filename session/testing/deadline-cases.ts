import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { FailureReason, type Leaf, LeafState } from "@serverless-harness/proto/leaf";
import { deadlineOf } from "../contract/leaf.ts";
import type { LeafStore } from "../contract/leaf-store.ts";
import type { Wait } from "../contract/waiting.ts";
import {
  approval,
  claim,
  delta,
  done,
  failureOf,
  follow,
  gateOf,
  LONG_LEASE_MS,
  lastChange,
  logOf,
  messageOf,
  nothingReady,
  recordOf,
  refused,
  submit,
  words,
} from "./build.ts";
import type { Case, LeafStoreFixture } from "./types.ts";

/** A deadline that has passed for {@link later}, before any lease ends. */
const SOON = { limits: { deadlineMs: BigInt(LONG_LEASE_MS / 10) } };
/** One that has not. */
const LATER = { limits: { deadlineMs: BigInt(LONG_LEASE_MS) } };
const LIMIT = 10;

/** A handle of a process that comes when the deadline has passed. */
function later(connect: LeafStoreFixture["connect"]): Promise<LeafStore> {
  return connect(() => Date.now() + LONG_LEASE_MS / 5);
}

async function assertOverdue(store: LeafStore, leafId: string): Promise<Leaf> {
  const leaf = await recordOf(store, leafId);
  deepStrictEqual([leaf.state, leaf.failure?.reason, leaf.failure?.retryable], [LeafState.FAILED, FailureReason.DEADLINE_EXCEEDED, false]);
  ok(leaf.failure?.message.includes("deadline"));
  deepStrictEqual([leaf.openGates, leaf.notBeforeMs, leaf.worker], [[], 0n, undefined]);
  return leaf;
}

/** What a leaf may wait for, each longer than until its deadline. */
const WAITS: Readonly<Record<string, Wait>> = {
  "a gate": { gateIds: ["g"] },
  "a gate with a later deadline": { gateIds: ["late"] },
  "a key": { wakeKey: "k" },
  "a later time": { notBeforeMs: Date.now() + LONG_LEASE_MS },
  "all of them": { gateIds: ["g", "late"], wakeKey: "k", notBeforeMs: Date.now() + LONG_LEASE_MS },
};

export const deadlineCases: readonly Case[] = [
  ...Object.entries(WAITS).map(
    ([what, wait]): Case => [
      `a leaf that waits for ${what} is ready when its deadline passes`,
      async ({ store, connect }) => {
        const leaf = await submit(store, SOON);
        const held = await claim(store);
        await store.openGate(held, gateOf("g"));
        await store.openGate(held, gateOf("late", { deadlineMs: BigInt(Date.now() + LONG_LEASE_MS) }));
        await store.suspend(held, wait, "waits", []);
        await nothingReady(store);
        strictEqual((await claim(await later(connect))).leaf.leafId, leaf.leafId);
        const [state, notBeforeMs] = await lastWait(store, leaf.leafId);
        strictEqual(state, wait.gateIds === undefined ? LeafState.SUSPENDED : LeafState.AWAITING_APPROVAL);
        strictEqual(notBeforeMs, deadlineOf(leaf));
      },
    ],
  ),
  [
    "a leaf whose next attempt is later than its deadline is ready when that passes",
    async ({ store, connect }) => {
      const leaf = await submit(store, SOON);
      await store.retry(await claim(store), failureOf("x"), Date.now() + LONG_LEASE_MS, []);
      deepStrictEqual(await lastChange(store, leaf.leafId), [LeafState.RETRYING, deadlineOf(leaf), ""]);
      await nothingReady(store);
      strictEqual((await claim(await later(connect))).leaf.leafId, leaf.leafId);
    },
  ],
  [
    "a wait that ends before the deadline keeps its own time",
    async ({ store }) => {
      const leaf = await submit(store, LATER);
      const at = Date.now() + LONG_LEASE_MS / 2;
      await store.suspend(await claim(store), { notBeforeMs: at }, "", []);
      strictEqual((await recordOf(store, leaf.leafId)).notBeforeMs, BigInt(at));
      strictEqual(await store.endOverdue(0, LIMIT), 0);
    },
  ],
  [
    "a leaf in the queue that nobody began is ended when its deadline has passed, and its log and its followers say why",
    async ({ store, connect }) => {
      const leaf = await submit(store, { ...SOON, sessionId: "s" }, "key");
      const next = await submit(store, { ...LATER, sessionId: "s" });
      const following = follow(await connect(), leaf.leafId);
      const then = await later(connect);
      strictEqual(await store.endOverdue(0, LIMIT), 0);
      strictEqual(await then.endOverdue(LONG_LEASE_MS, LIMIT), 1);
      const ended = await assertOverdue(store, leaf.leafId);
      deepStrictEqual([ended.attempts.length, ended.claims], [1, 0]);
      deepStrictEqual(words(await following), ["queued", "failed"]);
      deepStrictEqual((await store.list({ limit: 10, states: [LeafState.FAILED] })).leaves.length, 1);
      strictEqual(await then.endOverdue(0, LIMIT), 0);
      strictEqual((await claim(store)).leaf.leafId, next.leafId);
      await nothingReady(store);
    },
  ],
  [
    "a leaf behind another one of its session is ended while that one runs, which keeps its session",
    async ({ store, connect }) => {
      const first = await submit(store, { sessionId: "s" });
      const held = await claim(store);
      const behind = await submit(store, { ...SOON, sessionId: "s" });
      const last = await submit(store, { sessionId: "s" });
      strictEqual(await (await later(connect)).endOverdue(0, LIMIT), 1);
      await assertOverdue(store, behind.leafId);
      await nothingReady(store);
      await store.append(held, [delta("goes on")]);
      await store.finish(held, done(""), []);
      deepStrictEqual(words(await logOf(store, first.leafId)), ["queued", "running", "goes on", "done"]);
      strictEqual((await claim(store)).leaf.leafId, last.leafId);
    },
  ],
  [
    "a leaf that waits behind an older one that was redriven is ended, and the older one keeps its session",
    async ({ store, connect }) => {
      const older = await submit(store, { sessionId: "s" });
      await store.finish(await claim(store), { state: LeafState.FAILED, failure: failureOf("x") }, []);
      const younger = await submit(store, { ...SOON, sessionId: "s" });
      await store.suspend(await claim(store), { wakeKey: "k" }, "", []);
      await store.redrive(older.leafId, false);
      const held = await claim(store);
      strictEqual(held.leaf.leafId, older.leafId);
      strictEqual(await (await later(connect)).endOverdue(0, LIMIT), 1);
      await assertOverdue(store, younger.leafId);
      await nothingReady(store);
      await store.finish(held, done(""), []);
      await nothingReady(store);
    },
  ],
  [
    "a leaf that waits is left to who claims it for the time of grace, and ended when nobody did",
    async ({ store, connect }) => {
      const leaf = await submit(store, { ...SOON, sessionId: "s" });
      const behind = await submit(store, { sessionId: "s" });
      const held = await claim(store);
      await store.openGate(held, gateOf("g"));
      await store.suspend(held, { gateIds: ["g"] }, "", []);
      const then = await later(connect);
      strictEqual(await then.endOverdue(LONG_LEASE_MS, LIMIT), 0);
      strictEqual((await recordOf(store, leaf.leafId)).state, LeafState.AWAITING_APPROVAL);
      strictEqual(await then.endOverdue(0, LIMIT), 1);
      await assertOverdue(store, leaf.leafId);
      strictEqual(await store.wake(leaf.leafId, "k"), false);
      await refused(store.decide(leaf.leafId, "g", approval()), "leaf_ended");
      strictEqual((await claim(store)).leaf.leafId, behind.leafId);
      await nothingReady(store);
    },
  ],
  [
    "a leaf under a live lease is its worker's to end; one whose lease is over is ended, and that worker is refused from then on",
    async ({ store, connect }) => {
      const leaf = await submit(store, { ...SOON, sessionId: "s" });
      const held = await claim(store);
      const then = await later(connect);
      strictEqual(await then.endOverdue(0, LIMIT), 0);
      await store.heartbeat(held, 1);
      strictEqual(await then.endOverdue(0, LIMIT), 1);
      strictEqual((await assertOverdue(store, leaf.leafId)).attempts[0]?.worker, "worker-1");
      await refused(store.append(held, [delta("late")]), "stale_epoch");
      const { leafId } = await submit(store, { sessionId: "s" });
      const next = await claim(store);
      deepStrictEqual([next.leaf.leafId, next.fence.epoch > held.fence.epoch + 1n], [leafId, true]);
      const { ready, running } = await store.backlog();
      deepStrictEqual([ready, running], [0, 1]);
    },
  ],
  [
    "a decision and a message after the deadline are refused with that reason, and nothing of them stays",
    async ({ store, connect }) => {
      const leaf = await submit(store, SOON);
      const held = await claim(store);
      for (const gateId of ["g", "h"]) await store.openGate(held, gateOf(gateId));
      const { decision } = await store.decide(leaf.leafId, "h", approval());
      await store.send(leaf.leafId, messageOf("m"));
      await store.suspend(held, { gateIds: ["g"] }, "", []);
      const then = await later(connect);
      const before = await recordOf(store, leaf.leafId);
      await refused(then.decide(leaf.leafId, "g", approval()), "deadline_passed");
      await refused(then.send(leaf.leafId, messageOf("n")), "deadline_passed");
      deepStrictEqual(await recordOf(store, leaf.leafId), before);
      // What was said and decided in time stands.
      deepStrictEqual((await then.decide(leaf.leafId, "h", approval())).decision, decision);
      strictEqual((await then.send(leaf.leafId, messageOf("m"))).messageId, "m");
    },
  ],
  [
    "a leaf that missed its deadline and is queued again ends again",
    async ({ store, connect }) => {
      const leaf = await submit(store, SOON);
      const then = await later(connect);
      await then.endOverdue(0, LIMIT);
      strictEqual((await store.redrive(leaf.leafId, false)).state, LeafState.QUEUED);
      strictEqual(await then.endOverdue(0, LIMIT), 1);
      await assertOverdue(store, leaf.leafId);
    },
  ],
  [
    "no more than the limit ends at once, and several that end them at the same time end each once",
    async ({ store, connect }) => {
      const leaves: Leaf[] = [];
      for (let i = 0; i < 12; i++) leaves.push(await submit(store, SOON));
      const [first, ...others] = [await later(connect), await later(connect), await later(connect)];
      strictEqual(await first.endOverdue(0, 2), 2);
      const ended = await Promise.all([first, ...others].map((each) => each.endOverdue(0, 100)));
      strictEqual(
        ended.reduce((sum, each) => sum + each, 0),
        10,
      );
      for (const { leafId } of leaves) deepStrictEqual(words(await logOf(store, leafId)), ["queued", "failed"]);
      await nothingReady(store);
    },
  ],
  [
    "a leaf that ended before its deadline stays as it is",
    async ({ store, connect }) => {
      const leaf = await submit(store, SOON);
      await store.finish(await claim(store), done("x"), []);
      const cancelled = await submit(store, SOON);
      await store.cancel(cancelled.leafId, "");
      strictEqual(await (await later(connect)).endOverdue(0, LIMIT), 0);
      strictEqual((await recordOf(store, leaf.leafId)).state, LeafState.DONE);
    },
  ],
  [
    "a time below 0 and a limit that is out of range are refused",
    async ({ store }) => {
      await refused(store.endOverdue(-1, LIMIT), "invalid_argument");
      for (const limit of [0, 1001]) await refused(store.endOverdue(0, limit), "invalid_argument");
    },
  ],
];

/** The change of state before the last one: what the leaf waited in, and until when. */
async function lastWait(store: LeafStore, leafId: string): Promise<[state: LeafState, notBeforeMs: number]> {
  const changes = (await logOf(store, leafId)).flatMap(({ event }) => (event.case === "stateChanged" ? [event.value] : []));
  const wait = changes.at(-2);
  if (wait === undefined) throw new Error("the leaf never waited");
  return [wait.state, Number(wait.notBeforeMs)];
}
