import { deepStrictEqual, strictEqual } from "node:assert/strict";
import type { LeafEvent } from "@serverless-harness/proto/leaf";
import { assertGapFree, claim, delta, done, failureOf, follow, NEVER, refused, submit, words } from "./build.ts";
import type { Case } from "./types.ts";

export const followCases: readonly Case[] = [
  [
    "following a leaf that is over yields its log and ends",
    async ({ store }) => {
      const { leafId } = await submit(store);
      await store.finish(await claim(store), done(""), [delta("a")]);
      deepStrictEqual(words(await follow(store, leafId)), ["queued", "running", "a", "done"]);
      deepStrictEqual(words(await follow(store, leafId, 3n)), ["done"]);
    },
  ],
  [
    "following from behind the terminal event ends at once",
    async ({ store }) => {
      const { leafId } = await submit(store);
      await store.finish(await claim(store), done(""), []);
      deepStrictEqual([await follow(store, leafId, 3n), await follow(store, leafId, 1000n)], [[], []]);
    },
  ],
  [
    "events arrive live, from another handle, until the terminal one",
    async ({ store, connect }) => {
      const { leafId } = await submit(store);
      const writer = await connect();
      const seen: string[] = [];
      let held = await claim(writer);
      for await (const event of store.follow(leafId, 0n, NEVER)) {
        const [word = ""] = words([event]);
        seen.push(word);
        // Each step waits for the one before it to arrive, so all but the first two are live.
        if (seen.length === 2) await writer.append(held, [delta("a")]);
        if (word === "a") await writer.retry(held, failureOf("x"), 0, []);
        if (word === "retrying") held = await claim(writer);
        if (word === "running" && seen.length > 2) await writer.finish(held, done(""), []);
      }
      deepStrictEqual(seen, ["queued", "running", "a", "retrying", "running", "done"]);
    },
  ],
  [
    "any number of followers see every event once, in order, while others append",
    async ({ store, connect }) => {
      const { leafId } = await submit(store);
      const held = await claim(store);
      const handles = [store, await connect(), await connect()];
      const followers: Promise<LeafEvent[]>[] = [];
      for (let i = 0; i < 60; i++) {
        const handle = handles[i % 3];
        if (i % 6 === 0 && handle !== undefined) followers.push(follow(handle, leafId, BigInt(i)));
        await store.append(held, [delta(`${i}a`), delta(`${i}b`, "same key"), delta(`${i}c`)]);
      }
      await store.finish(held, done(""), []);
      const logs = await Promise.all(followers);
      strictEqual(logs.length, 10);
      logs.forEach((log, i) => {
        assertGapFree(log, BigInt(i * 6 + 1));
        deepStrictEqual([log.length, words(log).at(-1)], [124 - i * 6, "done"]);
      });
    },
  ],
  [
    "a long log arrives whole",
    async ({ store }) => {
      const { leafId } = await submit(store);
      const held = await claim(store);
      const all = Array.from({ length: 1234 }, (_, i) => delta(`${i}`));
      await store.finish(held, done(""), all);
      const log = await follow(store, leafId);
      assertGapFree(log);
      strictEqual(log.length, 1237);
    },
  ],
  [
    "a follower that reads slowly holds up nobody and misses nothing",
    async ({ store, connect }) => {
      const { leafId } = await submit(store);
      const held = await claim(store);
      const slow = (await connect()).follow(leafId, 0n, NEVER)[Symbol.asyncIterator]();
      const first = await slow.next();
      for (let i = 0; i < 300; i++) await store.append(held, [delta(`${i}`)]);
      await store.finish(held, done(""), []);
      const log: LeafEvent[] = first.done ? [] : [first.value];
      for (let next = await slow.next(); !next.done; next = await slow.next()) log.push(next.value);
      assertGapFree(log);
      strictEqual(log.length, 303);
    },
  ],
  [
    "an abort ends a waiting follower without an error",
    async ({ store }) => {
      const { leafId } = await submit(store);
      const abort = new AbortController();
      const seen: LeafEvent[] = [];
      for await (const event of store.follow(leafId, 0n, abort.signal)) {
        seen.push(event);
        setImmediate(() => abort.abort());
      }
      strictEqual(seen.length, 1);
      deepStrictEqual(await follow(store, leafId, 0n, AbortSignal.abort()), []);
    },
  ],
  [
    "an abort between two events ends a follower there",
    async ({ store }) => {
      const { leafId } = await submit(store);
      await store.append(await claim(store), [delta("a"), delta("b")]);
      const abort = new AbortController();
      const seen: LeafEvent[] = [];
      for await (const event of store.follow(leafId, 0n, abort.signal)) {
        seen.push(event);
        if (seen.length === 2) abort.abort();
      }
      deepStrictEqual(words(seen), ["queued", "running"]);
    },
  ],
  [
    "a follower that leaves takes nothing away from the others",
    async ({ store }) => {
      const { leafId } = await submit(store);
      const held = await claim(store);
      const staying = follow(store, leafId);
      for await (const event of store.follow(leafId, 0n, NEVER)) if (event.seq === 2n) break;
      await store.finish(held, done(""), [delta("a")]);
      deepStrictEqual(words(await staying), ["queued", "running", "a", "done"]);
    },
  ],
  ["following an unknown leaf is refused", ({ store }) => refused(follow(store, "leaf_unknown"), "leaf_not_found")],
];
