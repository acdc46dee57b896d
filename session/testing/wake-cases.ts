import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { LeafState } from "@serverless-harness/proto/leaf";
import {
  claim,
  claimWhenReady,
  done,
  failureOf,
  follow,
  LONG_LEASE_MS,
  lastChange,
  logOf,
  NEVER,
  nothingReady,
  recordOf,
  submit,
  words,
} from "./build.ts";
import type { Case } from "./types.ts";

export const wakeCases: readonly Case[] = [
  [
    "a leaf that waits for a key is ready when it is woken with it, once, and its log says so",
    async ({ store, connect }) => {
      const other = await connect();
      const { leafId } = await submit(store);
      await store.suspend(await claim(store), { wakeKey: "k", notBeforeMs: Date.now() + LONG_LEASE_MS }, "", []);
      strictEqual(await other.wake(leafId, "k"), true);
      deepStrictEqual(await lastChange(store, leafId), [LeafState.SUSPENDED, 0, "woken"]);
      deepStrictEqual([(await recordOf(store, leafId)).notBeforeMs, (await store.backlog()).ready], [0n, 1]);
      strictEqual(await other.wake(leafId, "k"), false);
      const next = await claim(store);
      deepStrictEqual([next.leaf.leafId, next.takeover], [leafId, false]);
      strictEqual(await other.wake(leafId, "k"), false);
      deepStrictEqual(words(await logOf(store, leafId)), ["queued", "running", "suspended", "suspended", "running"]);
    },
  ],
  [
    "a wake that comes before its leaf suspends is not lost",
    async ({ store, connect }) => {
      const { leafId } = await submit(store);
      const held = await claim(store);
      strictEqual(await (await connect()).wake(leafId, "k"), true);
      deepStrictEqual(words(await logOf(store, leafId)), ["queued", "running"]);
      await store.suspend(held, { wakeKey: "k" }, "waits", []);
      deepStrictEqual(await lastChange(store, leafId), [LeafState.SUSPENDED, 0, "waits"]);
      const next = await claim(store);
      strictEqual(await store.wake(leafId, "k"), false);
      await store.suspend(next, { wakeKey: "k2" }, "", []);
      await nothingReady(store);
    },
  ],
  [
    "a wake with another key wakes nobody, and is kept for who waits for it",
    async ({ store }) => {
      const { leafId } = await submit(store);
      await store.suspend(await claim(store), { wakeKey: "k" }, "", []);
      strictEqual(await store.wake(leafId, "other"), true);
      await nothingReady(store);
      strictEqual(await store.wake(leafId, "k"), true);
      await store.suspend(await claim(store), { wakeKey: "other" }, "", []);
      strictEqual((await claim(store)).leaf.leafId, leafId);
    },
  ],
  [
    "a wake of a leaf that is unknown or over, or with a key that can't be one, does nothing",
    async ({ store }) => {
      strictEqual(await store.wake("leaf-nobody", "k"), false);
      const { leafId } = await submit(store);
      const held = await claim(store);
      for (const key of ["", "k".repeat(129)]) strictEqual(await store.wake(leafId, key), false);
      await store.finish(held, done(""), []);
      strictEqual(await store.wake(leafId, "k"), false);
      deepStrictEqual(words(await logOf(store, leafId)), ["queued", "running", "done"]);
    },
  ],
  [
    "a leaf whose time came can be woken no more, for it runs already",
    async ({ store }) => {
      const { leafId } = await submit(store);
      await store.suspend(await claim(store), { wakeKey: "k", notBeforeMs: Date.now() + 20 }, "", []);
      const held = await claimWhenReady(store);
      await store.wake(leafId, "k");
      deepStrictEqual(words(await logOf(store, leafId)), ["queued", "running", "suspended", "running"]);
      await store.finish(held, done(""), []);
    },
  ],
  [
    "a wake is kept over a failed attempt and its wait",
    async ({ store }) => {
      const { leafId } = await submit(store);
      const held = await claim(store);
      await store.wake(leafId, "k");
      await store.retry(held, failureOf("x"), 0, []);
      await store.suspend(await claim(store), { wakeKey: "k" }, "", []);
      strictEqual((await claim(store)).leaf.leafId, leafId);
    },
  ],
  [
    "many wakes at once end a wait once",
    async ({ store, connect }) => {
      const stores = [store, await connect(), await connect()];
      const { leafId } = await submit(store);
      await store.suspend(await claim(store), { wakeKey: "k" }, "", []);
      const woken = await Promise.all(Array.from({ length: 12 }, async (_, i) => stores[i % 3]?.wake(leafId, "k")));
      strictEqual(woken.filter((each) => each === true).length, 1);
      deepStrictEqual(words(await logOf(store, leafId)), ["queued", "running", "suspended", "suspended"]);
    },
  ],
  [
    "waiting workers and followers in other processes learn of a wake",
    async ({ store, connect }) => {
      const other = await connect();
      const { leafId } = await submit(store);
      await store.suspend(await claim(store), { wakeKey: "k" }, "", []);
      const [waiting, following] = [other.waitForWork(LONG_LEASE_MS, NEVER), follow(other, leafId)];
      await store.wake(leafId, "k");
      await waiting;
      await store.finish(await claim(store), done(""), []);
      deepStrictEqual(words(await following), ["queued", "running", "suspended", "suspended", "running", "done"]);
    },
  ],
];
