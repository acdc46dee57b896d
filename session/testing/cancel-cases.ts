import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { LeafState } from "@serverless-harness/proto/leaf";
import {
  claim,
  done,
  failed,
  failureOf,
  follow,
  gateOf,
  LONG_LEASE_MS,
  lastChange,
  logOf,
  NEVER,
  nothingReady,
  recordOf,
  refused,
  submit,
  words,
  workerOf,
} from "./build.ts";
import type { Case } from "./types.ts";

export const cancelCases: readonly Case[] = [
  [
    "a leaf that was never claimed is cancelled at once, and its log says who asked",
    async ({ store }) => {
      const { leafId } = await submit(store);
      const leaf = await store.cancel(leafId, "ann");
      deepStrictEqual([leaf.state, leaf.cancelRequested], [LeafState.CANCELLED, true]);
      const log = await logOf(store, leafId);
      deepStrictEqual(words(log), ["queued", "cancelRequested", "cancelled"]);
      const event = log[1]?.event;
      ok(event?.case === "cancelRequested" && event.value.requestedBy === "ann");
      await nothingReady(store);
      deepStrictEqual(await store.backlog(), { ready: 0, running: 0 });
    },
  ],
  [
    "the end of a cancelled leaf lets the next of its session run",
    async ({ store, connect }) => {
      const other = await connect();
      const leaves = [];
      for (let i = 0; i < 4; i++) leaves.push((await submit(store, { sessionId: "s" })).leafId);
      const [first = "", second = "", third = "", fourth = ""] = leaves;
      await store.cancel(first, "");
      const held = await claim(other);
      strictEqual(held.leaf.leafId, second);
      // One after others ends without anybody's help, and changes nothing for them.
      strictEqual((await store.cancel(third, "")).state, LeafState.CANCELLED);
      await nothingReady(other);
      await store.finish(held, done(""), []);
      strictEqual((await claim(store)).leaf.leafId, fourth);
    },
  ],
  [
    "a leaf that runs is told by its heartbeat, and goes on until its worker ends it",
    async ({ store, connect }) => {
      const { leafId } = await submit(store);
      const held = await claim(store);
      const leaf = await (await connect()).cancel(leafId, "ann");
      deepStrictEqual([leaf.state, leaf.cancelRequested, leaf.worker?.name], [LeafState.RUNNING, true, "worker-1"]);
      deepStrictEqual({ ...(await store.heartbeat(held, LONG_LEASE_MS)) }, { cancelRequested: true, messages: [] });
      await nothingReady(store);
      await store.finish(held, { state: LeafState.CANCELLED }, []);
      deepStrictEqual(words(await logOf(store, leafId)), ["queued", "running", "cancelRequested", "cancelled"]);
    },
  ],
  [
    "a leaf that waits for anything is ready at once, so that who claims it ends it",
    async ({ store }) => {
      for (const waitsFor of ["key", "gate", "time", "retry"]) {
        const { leafId } = await submit(store);
        const held = await claim(store);
        const later = Date.now() + LONG_LEASE_MS;
        await store.openGate(held, gateOf("g"));
        if (waitsFor === "key") await store.suspend(held, { wakeKey: "k" }, "", []);
        if (waitsFor === "gate") await store.suspend(held, { gateIds: ["g"] }, "", []);
        if (waitsFor === "time") await store.suspend(held, { notBeforeMs: later }, "", []);
        if (waitsFor === "retry") await store.retry(held, failureOf("x"), later, []);
        const leaf = await store.cancel(leafId, "");
        deepStrictEqual([leaf.state, leaf.notBeforeMs, leaf.failure, leaf.cancelRequested], [LeafState.SUSPENDED, 0n, undefined, true]);
        deepStrictEqual(await lastChange(store, leafId), [LeafState.SUSPENDED, 0, "cancel requested"]);
        deepStrictEqual(words((await logOf(store, leafId)).slice(-2)), ["cancelRequested", "suspended"]);
        const next = await claim(store);
        deepStrictEqual([next.leaf.leafId, next.leaf.cancelRequested], [leafId, true]);
        strictEqual((await store.heartbeat(next, LONG_LEASE_MS)).cancelRequested, true);
        await store.finish(next, { state: LeafState.CANCELLED }, []);
      }
    },
  ],
  [
    "a leaf that was handed back stays ready, and is told of the cancel when it is claimed",
    async ({ store }) => {
      const { leafId } = await submit(store);
      await store.release(await claim(store), "drained");
      await store.cancel(leafId, "");
      deepStrictEqual(words(await logOf(store, leafId)), ["queued", "running", "suspended", "cancelRequested"]);
      strictEqual((await claim(store)).leaf.cancelRequested, true);
    },
  ],
  [
    "a leaf that suspends or fails behind the cancel waits for nothing",
    async ({ store }) => {
      const { leafId } = await submit(store);
      const held = await claim(store);
      await store.openGate(held, gateOf("g"));
      await store.cancel(leafId, "");
      await store.suspend(held, { gateIds: ["g"], wakeKey: "k", notBeforeMs: Date.now() + LONG_LEASE_MS }, "", []);
      deepStrictEqual(await lastChange(store, leafId), [LeafState.SUSPENDED, 0, ""]);
      await store.retry(await claim(store), failureOf("x"), Date.now() + LONG_LEASE_MS, []);
      strictEqual((await claim(store)).leaf.leafId, leafId);
    },
  ],
  [
    "a cancel that is repeated, or comes behind the end, changes nothing",
    async ({ store }) => {
      const { leafId } = await submit(store);
      const held = await claim(store);
      await store.cancel(leafId, "ann");
      await store.cancel(leafId, "bob");
      await store.finish(held, done("was faster"), []);
      strictEqual((await store.cancel(leafId, "cid")).state, LeafState.DONE);
      deepStrictEqual(words(await logOf(store, leafId)), ["queued", "running", "cancelRequested", "done"]);
    },
  ],
  [
    "many cancels at once, beside a claim, are one cancel",
    async ({ store, connect }) => {
      const stores = [store, await connect(), await connect()];
      const { leafId } = await submit(store);
      const cancels = Array.from({ length: 9 }, async (_, i) => stores[i % 3]?.cancel(leafId, `${i}`));
      const [held] = await Promise.all([stores[1]?.claim(workerOf("w"), LONG_LEASE_MS), ...cancels]);
      const log = words(await logOf(store, leafId));
      strictEqual(log.filter((word) => word === "cancelRequested").length, 1);
      deepStrictEqual((await recordOf(store, leafId)).state, held === undefined ? LeafState.CANCELLED : LeafState.RUNNING);
    },
  ],
  [
    "a failed leaf that was queued again is cancelled at once as long as nobody claims it",
    async ({ store }) => {
      const { leafId } = await submit(store);
      await store.finish(await claim(store), failed("x"), []);
      await store.redrive(leafId, false);
      strictEqual((await store.cancel(leafId, "")).state, LeafState.CANCELLED);
      await nothingReady(store);
    },
  ],
  [
    "followers and waiting workers in other processes learn of a cancel",
    async ({ store, connect }) => {
      const other = await connect();
      const [first, second] = [await submit(store, { sessionId: "s" }), await submit(store, { sessionId: "s" })];
      await store.suspend(await claim(store), { wakeKey: "k" }, "", []);
      const [waiting, following] = [other.waitForWork(LONG_LEASE_MS, NEVER), follow(other, second.leafId)];
      await store.cancel(second.leafId, "");
      deepStrictEqual(words(await following), ["queued", "cancelRequested", "cancelled"]);
      await store.cancel(first.leafId, "");
      await waiting;
    },
  ],
  [
    "a cancel of a leaf that nobody knows, or by a name of 257 characters, is refused",
    async ({ store }) => {
      await refused(store.cancel("leaf-nobody", ""), "leaf_not_found");
      const { leafId } = await submit(store);
      await refused(store.cancel(leafId, "n".repeat(257)), "invalid_argument");
      strictEqual((await recordOf(store, leafId)).cancelRequested, false);
    },
  ],
];
