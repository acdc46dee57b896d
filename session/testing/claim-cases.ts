import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { equals } from "@bufbuild/protobuf";
import { LeafSchema, LeafState, WorkerSchema } from "@serverless-harness/proto/leaf";
import { claim, claimWhenReady, done, failureOf, LONG_LEASE_MS, logOf, nothingReady, recordOf, submit, words, workerOf } from "./build.ts";
import type { Case } from "./types.ts";

export const claimCases: readonly Case[] = [
  ["an empty store has nothing to claim", ({ store }) => nothingReady(store)],
  [
    "a claimed leaf is running: its record and its log name worker and epoch",
    async ({ store }) => {
      const { leafId } = await submit(store, { sessionId: "s" });
      const { leaf, fence, takeover } = await claim(store, LONG_LEASE_MS, "brain-9");
      const { epoch } = fence;
      deepStrictEqual({ ...fence }, { tenant: "acme", sessionId: "s", epoch });
      strictEqual(takeover, false);
      deepStrictEqual([leaf.leafId, leaf.state, leaf.epoch, leaf.claims, leaf.lastSeq], [leafId, LeafState.RUNNING, epoch, 1, 2n]);
      ok(leaf.worker && equals(WorkerSchema, leaf.worker, workerOf("brain-9")));
      ok(equals(LeafSchema, await recordOf(store, leafId), leaf));
      const event = (await logOf(store, leafId))[1]?.event;
      ok(event?.case === "stateChanged" && event.value.worker && equals(WorkerSchema, event.value.worker, workerOf("brain-9")));
      deepStrictEqual([event.value.state, event.value.epoch, event.value.note], [LeafState.RUNNING, epoch, ""]);
    },
  ],
  [
    "leaves are claimed in order of submission",
    async ({ store }) => {
      const submitted = [];
      for (let i = 0; i < 5; i++) submitted.push((await submit(store)).leafId);
      const claimed = [];
      for (let i = 0; i < 5; i++) claimed.push((await claim(store)).leaf.leafId);
      deepStrictEqual(claimed, submitted);
      await nothingReady(store);
    },
  ],
  [
    "one leaf at a time runs on a session, in order of submission",
    async ({ store }) => {
      const submitted = [];
      for (let i = 0; i < 3; i++) submitted.push((await submit(store, { sessionId: "s" })).leafId);
      const ran = [];
      for (let i = 0; i < 3; i++) {
        const held = await claim(store);
        ran.push(held.leaf.leafId);
        await nothingReady(store);
        await store.finish(held, done(""), []);
      }
      deepStrictEqual(ran, submitted);
      await nothingReady(store);
    },
  ],
  [
    "a busy session holds up no other one",
    async ({ store }) => {
      await submit(store, { sessionId: "busy" });
      await submit(store, { sessionId: "busy" });
      const free = await submit(store, { sessionId: "free" });
      await claim(store);
      strictEqual((await claim(store)).leaf.leafId, free.leafId);
    },
  ],
  [
    "one session id in two tenants is two sessions",
    async ({ store }) => {
      await submit(store, { tenant: "a", sessionId: "s" });
      await submit(store, { tenant: "b", sessionId: "s" });
      deepStrictEqual([(await claim(store)).fence.tenant, (await claim(store)).fence.tenant], ["a", "b"]);
    },
  ],
  [
    "a leaf that waits for its next attempt holds up the session's later ones",
    async ({ store }) => {
      await submit(store, { sessionId: "s" });
      await submit(store, { sessionId: "s" });
      await store.retry(await claim(store), failureOf("overloaded"), Date.now() + LONG_LEASE_MS, []);
      await nothingReady(store);
      strictEqual((await store.backlog()).ready, 0);
    },
  ],
  [
    "a leaf that was handed back goes before the session's later ones",
    async ({ store }) => {
      const first = await submit(store, { sessionId: "s" });
      await submit(store, { sessionId: "s" });
      await store.release(await claim(store), "drained");
      strictEqual((await claim(store)).leaf.leafId, first.leafId);
      await nothingReady(store);
    },
  ],
  [
    "every claim raises its own session's epoch, which is never behind the clock",
    async ({ store }) => {
      for (const sessionId of ["a", "b", "a"]) await submit(store, { sessionId });
      const newest = new Map<string, bigint>();
      for (let i = 0; i < 60; i++) {
        const now = BigInt(Date.now());
        const held = await claim(store);
        const { sessionId, epoch } = held.fence;
        ok(epoch >= now && epoch > (newest.get(sessionId) ?? 0n));
        newest.set(sessionId, epoch);
        if (i % 20 === 19) await store.finish(held, done(""), []);
        else await store.release(held, "");
      }
      deepStrictEqual([...newest.keys()], ["a", "b"]);
    },
  ],
  [
    "claims at the same time get different leaves",
    async ({ store, connect }) => {
      const stores = [store, await connect(), await connect()];
      for (let i = 0; i < 30; i++) await submit(store);
      const claims = await Promise.all(Array.from({ length: 40 }, async (_, i) => stores[i % 3]?.claim(workerOf(`w${i}`), LONG_LEASE_MS)));
      const taken = claims.flatMap((claimed) => claimed?.leaf.leafId ?? []);
      deepStrictEqual([taken.length, new Set(taken).size], [30, 30]);
    },
  ],
  [
    "a leaf whose lease ended is taken over, and its log says so",
    async ({ store, connect }) => {
      const { leafId } = await submit(store);
      const held = await claim(store, 1);
      const next = await claimWhenReady(await connect());
      deepStrictEqual([next.leaf.leafId, next.takeover, next.leaf.claims], [leafId, true, 2]);
      ok(next.fence.epoch > held.fence.epoch);
      strictEqual(next.leaf.failedAttempts, 0);
      const log = await logOf(store, leafId);
      deepStrictEqual(words(log), ["queued", "running", "running"]);
      const event = log[2]?.event;
      ok(event?.case === "stateChanged" && event.value.note === "lease expired");
    },
  ],
  [
    "a live lease is respected by every handle",
    async ({ store, connect }) => {
      await submit(store);
      await claim(store);
      await nothingReady(await connect());
    },
  ],
];
