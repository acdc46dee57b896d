import { deepStrictEqual } from "node:assert/strict";
import { create } from "@bufbuild/protobuf";
import { FailureReason, LeafFilesSchema, LeafState } from "@serverless-harness/proto/leaf";
import type { LeafStore } from "../contract/leaf-store.ts";
import { approval, claim, claimWhenReady, done, failed, gateOf, recordOf, refused, submit } from "./build.ts";
import type { Case } from "./types.ts";

const files = create(LeafFilesSchema, { resultRef: "/volume/result.json" });

/** Leaves whose files have to be written, and their states. */
async function due(store: LeafStore): Promise<Array<[leafId: string, state: LeafState]>> {
  return (await store.filesDue(50)).map(({ leafId, state }) => [leafId, state]);
}

async function written(store: LeafStore, leafId: string): Promise<void> {
  await store.filesWritten(leafId, (await recordOf(store, leafId)).lastSeq);
}

export const fileCases: readonly Case[] = [
  [
    "a leaf with files stands to be written from its end until it is, for every handle; one without never does",
    async ({ store, connect }) => {
      const other = await connect();
      const { leafId } = await submit(store, { files });
      await submit(store, {});
      deepStrictEqual(await due(store), []);
      await store.finish(await claim(store), done("x"), []);
      await store.finish(await claim(store), done("y"), []);
      deepStrictEqual(await due(other), [[leafId, LeafState.DONE]]);
      await written(other, leafId);
      await written(store, leafId);
      deepStrictEqual(await due(store), []);
    },
  ],
  [
    "whoever ends a leaf: a worker, a client that cancels it, its deadline",
    async ({ store }) => {
      const fails = await submit(store, { files });
      await store.finish(await claim(store), failed("x"), []);
      const cancelled = await submit(store, { files });
      await store.cancel(cancelled.leafId, "ann");
      const late = await submit(store, { files, limits: { deadlineMs: 1n } });
      while ((await store.endOverdue(0, 10)) === 0);
      deepStrictEqual(
        new Map(await due(store)),
        new Map([
          [fails.leafId, LeafState.FAILED],
          [cancelled.leafId, LeafState.CANCELLED],
          [late.leafId, LeafState.FAILED],
        ]),
      );
      deepStrictEqual((await recordOf(store, late.leafId)).failure?.reason, FailureReason.DEADLINE_EXCEEDED);
    },
  ],
  [
    "a leaf that asks a human stands to be written each time that it waits",
    async ({ store }) => {
      const { leafId } = await submit(store, { files });
      for (const gateId of ["g1", "g2"]) {
        const held = await claimWhenReady(store);
        await store.openGate(held, gateOf(gateId));
        deepStrictEqual(await due(store), []);
        await store.suspend(held, { gateIds: [gateId] }, "asks", []);
        deepStrictEqual(await due(store), [[leafId, LeafState.AWAITING_APPROVAL]]);
        await written(store, leafId);
        deepStrictEqual(await due(store), []);
        await store.decide(leafId, gateId, approval());
      }
      const held = await claimWhenReady(store);
      await store.suspend(held, { wakeKey: "k" }, "sleeps", []);
      deepStrictEqual(await due(store), []);
    },
  ],
  [
    "what happened since it was looked at is not lost",
    async ({ store }) => {
      const { leafId } = await submit(store, { files });
      const held = await claim(store);
      await store.openGate(held, gateOf("g"));
      await store.suspend(held, { gateIds: ["g"] }, "asks", []);
      const [seen] = await store.filesDue(1);
      await store.decide(leafId, "g", approval());
      await store.finish(await claimWhenReady(store), done("x"), []);
      await store.filesWritten(leafId, seen?.lastSeq ?? 0n);
      deepStrictEqual(await due(store), [[leafId, LeafState.DONE]]);
    },
  ],
  [
    "a failed leaf that is queued again stands to be written at its next end",
    async ({ store }) => {
      const { leafId } = await submit(store, { files });
      await store.finish(await claim(store), failed("x"), []);
      await written(store, leafId);
      await store.redrive(leafId, false);
      deepStrictEqual(await due(store), []);
      await store.finish(await claim(store), done("x"), []);
      deepStrictEqual(await due(store), [[leafId, LeafState.DONE]]);
    },
  ],
  [
    "a leaf that is removed stands nowhere, and one that nobody knows is written by saying nothing",
    async ({ store }) => {
      await submit(store, { files });
      await store.finish(await claim(store), done("x"), []);
      while ((await store.sweep({ leafMs: 0, tombstoneMs: 60_000 }, 10)) === 0);
      deepStrictEqual(await due(store), []);
      await store.filesWritten("leaf_nobody", 1n);
      await refused(store.filesDue(0), "invalid_argument");
      await refused(store.filesDue(51), "invalid_argument");
    },
  ],
  [
    "a leaf that is put off stands behind the others, and one that is written stays so",
    async ({ store }) => {
      const [first, second] = [await submit(store, { files, sessionId: "s" }), await submit(store, { files, sessionId: "s" })];
      await store.cancel(second.leafId, "");
      await store.cancel(first.leafId, "");
      while ((await store.filesDue(1))[0]?.leafId !== first.leafId) await store.filesPutOff(second.leafId);
      await written(store, first.leafId);
      await store.filesPutOff(first.leafId);
      await store.filesPutOff("leaf_nobody");
      deepStrictEqual(await due(store), [[second.leafId, LeafState.CANCELLED]]);
    },
  ],
  [
    "no more are returned than are asked for",
    async ({ store }) => {
      for (let i = 0; i < 5; i++) await store.cancel((await submit(store, { files, sessionId: `s${i}` })).leafId, "");
      deepStrictEqual((await store.filesDue(3)).length, 3);
    },
  ],
];
