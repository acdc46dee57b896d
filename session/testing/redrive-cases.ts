import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { LeafState } from "@serverless-harness/proto/leaf";
import type { LeafStore } from "../contract/leaf-store.ts";
import {
  claim,
  claimWhenReady,
  delta,
  done,
  failed,
  failureOf,
  follow,
  LONG_LEASE_MS,
  lastChange,
  logOf,
  NEVER,
  nothingReady,
  recordOf,
  refused,
  submit,
  words,
} from "./build.ts";
import type { Case } from "./types.ts";

/** A leaf of session `s` that failed. */
async function failedLeaf(store: LeafStore, sessionId = "s"): Promise<string> {
  const { leafId } = await submit(store, { sessionId });
  await store.finish(await claim(store), failed("no luck"), [delta("so far", "k1")]);
  return leafId;
}

export const redriveCases: readonly Case[] = [
  [
    "a failed leaf is queued again without its failures, and its log goes on",
    async ({ store, connect }) => {
      const { leafId } = await submit(store);
      await store.retry(await claim(store), failureOf("x"), 0, []);
      const held = await claim(store);
      await store.cancel(leafId, "");
      await store.finish(held, failed("gave up"), []);
      const leaf = await (await connect()).redrive(leafId, false);
      deepStrictEqual([leaf.state, leaf.failure, leaf.attempts, leaf.failedAttempts], [LeafState.QUEUED, undefined, [], 0]);
      deepStrictEqual([leaf.cancelRequested, leaf.redrives, leaf.restarts, leaf.claims], [false, 1, 0, 2]);
      deepStrictEqual(await lastChange(store, leafId), [LeafState.QUEUED, 0, "redriven"]);
      const next = await claim(store);
      deepStrictEqual([next.leaf.leafId, next.takeover, next.leaf.claims], [leafId, false, 3]);
      await store.finish(next, done("at last"), []);
      const log = ["queued", "running", "retrying", "running", "cancelRequested", "failed", "queued", "running", "done"];
      deepStrictEqual(words(await logOf(store, leafId)), log);
    },
  ],
  [
    "a redrive from the start is counted as one",
    async ({ store }) => {
      const leafId = await failedLeaf(store);
      await store.redrive(leafId, false);
      await store.finish(await claim(store), failed("again"), []);
      await store.redrive(leafId, true);
      const { redrives, restarts } = (await claim(store)).leaf;
      deepStrictEqual([redrives, restarts], [2, 1]);
      deepStrictEqual(
        (await logOf(store, leafId)).filter(({ event }) => event.case === "stateChanged" && event.value.note !== "").length,
        2,
      );
      strictEqual(words(await logOf(store, leafId)).at(-1), "running");
    },
  ],
  [
    "a redriven leaf announces nothing twice",
    async ({ store }) => {
      const leafId = await failedLeaf(store);
      await store.redrive(leafId, false);
      const held = await claim(store);
      await store.append(held, [delta("so far", "k1"), delta("more", "k2")]);
      deepStrictEqual(words(await logOf(store, leafId)), ["queued", "running", "so far", "failed", "queued", "running", "more"]);
    },
  ],
  [
    "on its session, a redriven leaf comes before those that were submitted after it",
    async ({ store }) => {
      const first = await failedLeaf(store);
      const second = await failedLeaf(store);
      const third = (await submit(store, { sessionId: "s" })).leafId;
      await store.redrive(second, false);
      await store.redrive(first, false);
      const order = [];
      for (let i = 0; i < 3; i++) {
        const held = await claim(store);
        await nothingReady(store);
        order.push(held.leaf.leafId);
        await store.finish(held, done(""), []);
      }
      deepStrictEqual(order, [first, second, third]);
    },
  ],
  [
    "among sessions, a redriven leaf has the place of its submission",
    async ({ store }) => {
      const first = await failedLeaf(store, "a");
      const second = await submit(store, { sessionId: "b" });
      await store.redrive(first, false);
      deepStrictEqual([(await claim(store)).leaf.leafId, (await claim(store)).leaf.leafId], [first, second.leafId]);
    },
  ],
  [
    "a redriven leaf waits for the one that runs on its session, and comes before the next",
    async ({ store }) => {
      for (const letGo of ["finish", "release", "suspend", "retry"]) {
        const first = await failedLeaf(store);
        const second = await submit(store, { sessionId: "s" });
        const third = await submit(store, { sessionId: "s" });
        const held = await claim(store);
        await store.redrive(first, false);
        await nothingReady(store);
        deepStrictEqual([(await store.backlog()).ready, (await store.backlog()).running], [0, 1]);
        if (letGo === "finish") await store.finish(held, done(""), []);
        if (letGo === "release") await store.release(held, "");
        if (letGo === "suspend") await store.suspend(held, { wakeKey: "k" }, "", []);
        if (letGo === "retry") await store.retry(held, failureOf("x"), 0, []);
        const next = await claim(store);
        strictEqual(next.leaf.leafId, first);
        await nothingReady(store);
        // What the other one waits for may happen meanwhile.
        if (letGo === "suspend") strictEqual(await store.wake(second.leafId, "k"), true);
        await nothingReady(store);
        await store.finish(next, done(""), []);
        if (letGo !== "finish") {
          const resumed = await claim(store);
          strictEqual(resumed.leaf.leafId, second.leafId);
          await store.finish(resumed, done(""), []);
        }
        const last = await claim(store);
        strictEqual(last.leaf.leafId, third.leafId);
        await store.finish(last, done(""), []);
      }
    },
  ],
  [
    "a leaf that waits on the session of a redriven one waits on behind it",
    async ({ store }) => {
      const first = await failedLeaf(store);
      const second = await submit(store, { sessionId: "s" });
      await store.suspend(await claim(store), { wakeKey: "k", notBeforeMs: Date.now() + LONG_LEASE_MS }, "", []);
      await store.redrive(first, false);
      strictEqual((await store.backlog()).ready, 1);
      const held = await claim(store);
      strictEqual(held.leaf.leafId, first);
      await store.finish(held, done(""), []);
      await nothingReady(store);
      await store.wake(second.leafId, "k");
      strictEqual((await claim(store)).leaf.leafId, second.leafId);
    },
  ],
  [
    "a leaf whose lease ended goes on before a redriven one of its session, since nobody let go of it",
    async ({ store }) => {
      const first = await failedLeaf(store);
      const second = await submit(store, { sessionId: "s" });
      const held = await claim(store);
      await store.redrive(first, false);
      await store.heartbeat(held, 1);
      const next = await claimWhenReady(store);
      deepStrictEqual([next.leaf.leafId, next.takeover], [second.leafId, true]);
      await store.finish(next, done(""), []);
      strictEqual((await claim(store)).leaf.leafId, first);
    },
  ],
  [
    "a redriven leaf that is cancelled while another runs leaves that one alone",
    async ({ store }) => {
      const first = await failedLeaf(store);
      await submit(store, { sessionId: "s" });
      const held = await claim(store);
      await store.redrive(first, false);
      strictEqual((await store.cancel(first, "")).state, LeafState.CANCELLED);
      await nothingReady(store);
      await store.finish(held, done(""), []);
      await nothingReady(store);
    },
  ],
  [
    "a leaf that is under way stays as it is, and one that did not fail is refused",
    async ({ store }) => {
      const { leafId } = await submit(store);
      strictEqual((await store.redrive(leafId, true)).restarts, 0);
      const held = await claim(store);
      strictEqual((await store.redrive(leafId, false)).state, LeafState.RUNNING);
      await store.finish(held, done(""), []);
      await refused(store.redrive(leafId, false), "leaf_not_failed");
      deepStrictEqual(words(await logOf(store, leafId)), ["queued", "running", "done"]);
      await refused(store.redrive("leaf-nobody", false), "leaf_not_found");
      strictEqual((await recordOf(store, leafId)).redrives, 0);
    },
  ],
  [
    "many redrives at once are one",
    async ({ store, connect }) => {
      const stores = [store, await connect(), await connect()];
      const leafId = await failedLeaf(store);
      await Promise.all(Array.from({ length: 9 }, async (_, i) => stores[i % 3]?.redrive(leafId, false)));
      strictEqual((await recordOf(store, leafId)).redrives, 1);
    },
  ],
  [
    "waiting workers in other processes learn of a redrive, and so do who follows from then on",
    async ({ store, connect }) => {
      const other = await connect();
      const leafId = await failedLeaf(store);
      const waiting = other.waitForWork(LONG_LEASE_MS, NEVER);
      await store.redrive(leafId, false);
      await waiting;
      const following = follow(other, leafId, 4n);
      await store.finish(await claim(store), done(""), []);
      deepStrictEqual(words(await following), ["queued", "running", "done"]);
    },
  ],
];
