import { deepStrictEqual, ok } from "node:assert/strict";
import type { LeafStore } from "../contract/leaf-store.ts";
import { claim, done, failed, failureOf, LONG_LEASE_MS, recordOf, submit } from "./build.ts";
import type { Case } from "./types.ts";

async function causes(store: LeafStore, leafId: string): Promise<(string | undefined)[][]> {
  return (await recordOf(store, leafId)).attempts.map(({ worker, failure }) => [worker, failure?.message]);
}

export const attemptCases: readonly Case[] = [
  [
    "every failed attempt is kept with its worker, its time and its cause, the last one too",
    async ({ store, connect }) => {
      const { leafId } = await submit(store);
      const before = BigInt(Date.now());
      await store.retry(await claim(store, LONG_LEASE_MS, "a"), failureOf("overloaded"), 0, []);
      await store.retry(await claim(store, LONG_LEASE_MS, "b"), failureOf("cut"), 0, []);
      deepStrictEqual(await causes(await connect(), leafId), [
        ["a", "overloaded"],
        ["b", "cut"],
      ]);
      await store.finish(await claim(store, LONG_LEASE_MS, "c"), failed("gave up"), []);
      deepStrictEqual((await causes(store, leafId)).at(-1), ["c", "gave up"]);
      const { attempts, failedAttempts } = await recordOf(store, leafId);
      deepStrictEqual([attempts.length, failedAttempts], [3, 2]);
      ok(attempts.every(({ endedAtMs }) => endedAtMs >= before && endedAtMs <= BigInt(Date.now())));
    },
  ],
  [
    "attempts are in listings and in the record that a claim gives",
    async ({ store }) => {
      await submit(store);
      await store.retry(await claim(store), failureOf("x"), 0, []);
      deepStrictEqual((await store.list({ limit: 10 })).leaves[0]?.attempts.length, 1);
      deepStrictEqual((await claim(store)).leaf.attempts.length, 1);
    },
  ],
  [
    "a leaf that ends well or is handed back notes no attempt",
    async ({ store }) => {
      const { leafId } = await submit(store);
      await store.release(await claim(store), "");
      await store.suspend(await claim(store), {}, "", []);
      await store.finish(await claim(store), done(""), []);
      deepStrictEqual(await causes(store, leafId), []);
    },
  ],
];
