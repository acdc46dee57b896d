import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { LeafState } from "@serverless-harness/proto/leaf";
import type { LeafStore } from "../contract/leaf-store.ts";
import {
  assertGapFree,
  claim,
  delta,
  done,
  failed,
  failureOf,
  follow,
  gateOf,
  LONG_LEASE_MS,
  logOf,
  nothingReady,
  recordOf,
  refused,
  submit,
  words,
} from "./build.ts";
import type { Case } from "./types.ts";

/** What is over goes at once, its tombstone stays. */
const AT_ONCE = { leafMs: 0, tombstoneMs: LONG_LEASE_MS };
/** What is over stays. */
const LATER = { leafMs: LONG_LEASE_MS, tombstoneMs: LONG_LEASE_MS };

async function ended(store: LeafStore, key = "", sessionId = ""): Promise<string> {
  const { leafId } = await submit(store, { sessionId, labels: { team: "a" } }, key);
  await store.finish(await claim(store), done("x"), [delta("bye", "k")]);
  return leafId;
}

export const sweepCases: readonly Case[] = [
  [
    "a leaf that is over for long enough is removed, with its events and its places in the listings",
    async ({ store, connect }) => {
      const leafId = await ended(store, "", "s");
      strictEqual(await (await connect()).sweep(AT_ONCE, 10), 1);
      strictEqual(await store.get(leafId), undefined);
      deepStrictEqual(await logOf(store, leafId), []);
      for (const query of [{}, { tenant: "acme" }, { sessionId: "s" }, { states: [LeafState.DONE] }, { labels: { team: "a" } }]) {
        deepStrictEqual((await store.list({ limit: 10, ...query })).leaves, []);
      }
      await refused(follow(store, leafId), "leaf_not_found");
      await refused(store.cancel(leafId, ""), "leaf_not_found");
      await refused(store.redrive(leafId, false), "leaf_not_found");
      strictEqual(await store.sweep(AT_ONCE, 10), 0);
    },
  ],
  [
    "a tombstone tells how a removed leaf ended and when it was removed",
    async ({ store }) => {
      const { leafId } = await submit(store, { tenant: "acme é/1" }, "a key");
      await store.finish(await claim(store), failed("x"), []);
      strictEqual(await store.tombstone(leafId), undefined);
      const before = BigInt(Date.now());
      await store.sweep(AT_ONCE, 10);
      const tombstone = await store.tombstone(leafId);
      deepStrictEqual([tombstone?.leafId, tombstone?.state, tombstone?.tenant], [leafId, LeafState.FAILED, "acme é/1"]);
      ok(tombstone && tombstone.expiredAtMs >= before && tombstone.expiredAtMs <= BigInt(Date.now()));
      strictEqual(await store.tombstone("leaf-nobody"), undefined);
    },
  ],
  [
    "nothing is removed before its time, and nothing that is not over",
    async ({ store }) => {
      const kept = await ended(store);
      for (const sessionId of ["a", "b", "c", "d", "d"]) await submit(store, { sessionId });
      await store.suspend(await claim(store), { wakeKey: "k" }, "", []);
      await store.retry(await claim(store), failureOf("x"), Date.now() + LONG_LEASE_MS, []);
      const held = await claim(store);
      await store.openGate(held, gateOf("g"));
      await store.suspend(held, { gateIds: ["g"] }, "", []);
      await claim(store);
      strictEqual(await store.sweep(LATER, 10), 0);
      strictEqual((await recordOf(store, kept)).state, LeafState.DONE);
      strictEqual(await store.sweep(AT_ONCE, 10), 1);
      strictEqual((await store.list({ limit: 10 })).leaves.length, 5);
    },
  ],
  [
    "no more than the limit goes at once, what ended first goes first",
    async ({ store }) => {
      const leaves = [];
      for (let i = 0; i < 5; i++) leaves.push(await ended(store));
      strictEqual(await store.sweep(AT_ONCE, 2), 2);
      const left = async () => (await store.list({ limit: 10 })).leaves.map(({ leafId }) => leafId).reverse();
      deepStrictEqual(new Set(await left()).size, 3);
      strictEqual(await store.sweep(AT_ONCE, 2), 2);
      strictEqual(await store.sweep(AT_ONCE, 2), 1);
      deepStrictEqual(await left(), []);
      for (const leafId of leaves) ok(await store.tombstone(leafId));
    },
  ],
  [
    "a key keeps a repeated submit from running again for as long as there is a tombstone",
    async ({ store, connect }) => {
      const spec = { sessionId: "", labels: { team: "a" } };
      const leafId = await ended(store, "key");
      strictEqual((await submit(store, spec, "key")).leafId, leafId);
      await store.sweep(AT_ONCE, 10);
      await refused(submit(await connect(), spec, "key"), "leaf_expired");
      await refused(submit(store, { prompt: "another" }, "key"), "idempotency_key_reused");
      await nothingReady(store);
      strictEqual(await store.sweep({ leafMs: 0, tombstoneMs: 0 }, 10), 1);
      strictEqual(await store.tombstone(leafId), undefined);
      const again = await submit(store, spec, "key");
      ok(again.leafId !== leafId);
      strictEqual((await claim(store)).leaf.leafId, again.leafId);
    },
  ],
  [
    "followers of a removed leaf end",
    async ({ store, connect }) => {
      const { leafId } = await submit(store, { sessionId: "s" });
      const following = (await connect()).follow(leafId, 0n, new AbortController().signal)[Symbol.asyncIterator]();
      strictEqual((await following.next()).done, false);
      await store.finish(await claim(store), done(""), []);
      await store.sweep(AT_ONCE, 10);
      let last = await following.next();
      while (!last.done) last = await following.next();
    },
  ],
  [
    "what is submitted behind a sweep is as new: its own log, its own place, and every follower hears of it",
    async ({ store, connect }) => {
      const other = await connect();
      const idle = await submit(store, { sessionId: "idle" });
      const held = await claim(store);
      const following = follow(other, idle.leafId);
      for (let i = 0; i < 3; i++) await ended(store);
      strictEqual(await store.sweep(AT_ONCE, 10), 3);
      const next = await submit(store);
      const log = await logOf(store, next.leafId);
      assertGapFree(log);
      deepStrictEqual(words(log), ["queued"]);
      strictEqual(await store.tombstone(next.leafId), undefined);
      await store.finish(held, done(""), [delta("heard")]);
      deepStrictEqual(words(await following), ["queued", "running", "heard", "done"]);
      strictEqual((await claim(store)).leaf.leafId, next.leafId);
    },
  ],
  [
    "sweeps at the same time remove each leaf once",
    async ({ store, connect }) => {
      const stores = [store, await connect(), await connect()];
      for (let i = 0; i < 30; i++) await ended(store);
      const removed = await Promise.all(stores.map((each) => each.sweep(AT_ONCE, 1000)));
      strictEqual(
        removed.reduce((sum, each) => sum + each, 0),
        30,
      );
      deepStrictEqual((await store.list({ limit: 10 })).leaves, []);
    },
  ],
  [
    "a time below 0 and a limit that is out of range are refused",
    async ({ store }) => {
      await refused(store.sweep({ leafMs: -1, tombstoneMs: 0 }, 10), "invalid_argument");
      await refused(store.sweep({ leafMs: 0, tombstoneMs: Number.NaN }, 10), "invalid_argument");
      for (const limit of [0, 1001]) await refused(store.sweep(AT_ONCE, limit), "invalid_argument");
    },
  ],
];
