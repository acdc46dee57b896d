import { deepStrictEqual, rejects, strictEqual } from "node:assert/strict";
import { create } from "@bufbuild/protobuf";
import { LeafState, StateChangedSchema } from "@serverless-harness/proto/leaf";
import { assertGapFree, claim, delta, done, failureOf, logOf, recordOf, submit, usage, words } from "./build.ts";
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
