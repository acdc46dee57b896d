import { deepStrictEqual, rejects, strictEqual } from "node:assert/strict";
import { create } from "@bufbuild/protobuf";
import { type LeafEvent, LeafState, StateChangedSchema } from "@serverless-harness/proto/leaf";
import { assertGapFree, claim, delta, done, failureOf, follow, logOf, NEVER, recordOf, refused, submit, usage, words } from "./build.ts";
import type { Case } from "./types.ts";

export const eventCases: readonly Case[] = [
  [
    "appended events are numbered in order, without a gap, across claims",
    async ({ store }) => {
      const { leafId } = await submit(store);
      const first = await claim(store);
      await store.append(first, [delta("a"), delta("b")]);
      await store.append(first, []);
      await store.release(first, "");
      const second = await claim(store);
      await store.append(second, [delta("c")]);
      await store.finish(second, done(""), [delta("d")]);
      const log = await logOf(store, leafId);
      assertGapFree(log);
      deepStrictEqual(words(log), ["queued", "running", "a", "b", "suspended", "running", "c", "d", "done"]);
      strictEqual((await recordOf(store, leafId)).lastSeq, 9n);
    },
  ],
  [
    "times in a log never run backwards",
    async ({ store, connect }) => {
      const { leafId } = await submit(store);
      const held = await claim(await connect());
      for (let i = 0; i < 20; i++) await store.append(held, [delta("x")]);
      const times = (await logOf(store, leafId)).map((event) => event.timeMs);
      deepStrictEqual(
        times,
        times.toSorted((a, b) => Number(a - b)),
      );
    },
  ],
  [
    "an event is kept once per key: within a batch, across batches and across owners",
    async ({ store }) => {
      const { leafId } = await submit(store);
      const first = await claim(store);
      await store.append(first, [delta("a", "k1"), delta("again", "k1"), delta("free")]);
      await store.append(first, [delta("again", "k1"), delta("b", "k2")]);
      await store.release(first, "");
      const second = await claim(store);
      await store.append(second, [delta("again", "k2"), delta("free")]);
      await store.finish(second, done(""), [delta("again", "k1"), delta("c", "k3")]);
      const log = await logOf(store, leafId);
      assertGapFree(log);
      deepStrictEqual(words(log), ["queued", "running", "a", "free", "b", "suspended", "running", "free", "c", "done"]);
    },
  ],
  [
    "keys of one leaf mean nothing to another",
    async ({ store }) => {
      await submit(store);
      await submit(store);
      for (const held of [await claim(store), await claim(store)]) {
        await store.append(held, [delta("a", "k")]);
        deepStrictEqual(words(await logOf(store, held.leaf.leafId)), ["queued", "running", "a"]);
      }
    },
  ],
  [
    "a usage event becomes the record's usage, unless it was known",
    async ({ store }) => {
      const { leafId } = await submit(store);
      const held = await claim(store);
      await store.append(held, [usage(1, "u1"), usage(2)]);
      strictEqual((await recordOf(store, leafId)).usage?.modelCalls, 2);
      await store.append(held, [usage(99, "u1")]);
      strictEqual((await recordOf(store, leafId)).usage?.modelCalls, 2);
      await store.retry(held, failureOf("x"), 0, [usage(3)]);
      await store.finish(await claim(store), done(""), [usage(4)]);
      strictEqual((await recordOf(store, leafId)).usage?.modelCalls, 4);
    },
  ],
  [
    "a batch that holds a change of state is refused as a whole",
    async ({ store }) => {
      const { leafId } = await submit(store);
      const held = await claim(store);
      const forged = { event: { case: "stateChanged" as const, value: create(StateChangedSchema, { state: LeafState.DONE }) } };
      await rejects(store.append(held, [delta("a", "k"), usage(5), forged]));
      await rejects(store.finish(held, done(""), [forged]));
      const leaf = await recordOf(store, leafId);
      deepStrictEqual([leaf.lastSeq, leaf.usage, leaf.state], [2n, undefined, LeafState.RUNNING]);
      await store.append(held, [delta("a", "k")]);
      deepStrictEqual(words(await logOf(store, leafId)), ["queued", "running", "a"]);
    },
  ],
  [
    "events are read from a position, in pages",
    async ({ store }) => {
      const { leafId } = await submit(store);
      await store.append(
        await claim(store),
        Array.from({ length: 8 }, (_, i) => delta(`${i}`)),
      );
      deepStrictEqual(words(await store.events(leafId, 2n, 3)), ["0", "1", "2"]);
      deepStrictEqual(words(await store.events(leafId, 5n, 100)), ["3", "4", "5", "6", "7"]);
      deepStrictEqual(await store.events(leafId, 10n, 100), []);
      deepStrictEqual(await store.events(leafId, 99n, 100), []);
    },
  ],
];

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
    "following from after the terminal event ends at once",
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
