import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { equals } from "@bufbuild/protobuf";
import { FailureSchema, LeafState } from "@serverless-harness/proto/leaf";
import type { LeafStore, Outcome } from "../contract/leaf-store.ts";
import {
  claim,
  claimWhenReady,
  delta,
  done,
  failed,
  failureOf,
  LONG_LEASE_MS,
  logOf,
  nothingReady,
  recordOf,
  submit,
  words,
} from "./build.ts";
import type { Case } from "./types.ts";

const OUTCOMES: readonly (readonly [string, Outcome])[] = [
  ["done", done("the answer")],
  ["failed", { state: LeafState.FAILED, failure: failureOf("no luck") }],
  ["cancelled", { state: LeafState.CANCELLED }],
  ["aborted", { state: LeafState.ABORTED }],
];

const finishCases = OUTCOMES.map(
  ([name, outcome]): Case => [
    `a leaf that ends ${name} stays so: its log ends there and it is never claimed again`,
    async ({ store }) => {
      const { leafId } = await submit(store);
      await store.finish(await claim(store), outcome, [delta("bye")]);
      const leaf = await recordOf(store, leafId);
      deepStrictEqual([leaf.state, leaf.worker, leaf.lastSeq], [outcome.state, undefined, 4n]);
      strictEqual(leaf.result?.text, name === "done" ? "the answer" : undefined);
      strictEqual(leaf.failure?.message, name === "failed" ? "no luck" : undefined);
      const log = await logOf(store, leafId);
      deepStrictEqual(words(log), ["queued", "running", "bye", name]);
      const last = log.at(-1)?.event;
      ok(last?.case === "stateChanged");
      deepStrictEqual([last.value.result?.text, last.value.failure?.message], [leaf.result?.text, leaf.failure?.message]);
      await nothingReady(store);
      deepStrictEqual(await store.backlog(), { ready: 0, running: 0 });
    },
  ],
);

export const outcomeCases: readonly Case[] = [
  ...finishCases,
  [
    "the end of a leaf makes the session's next one ready",
    async ({ store, connect }) => {
      await submit(store, { sessionId: "s" });
      const second = await submit(store, { sessionId: "s" });
      await store.finish(await claim(store), { state: LeafState.FAILED, failure: failureOf("x") }, []);
      strictEqual((await claim(await connect())).leaf.leafId, second.leafId);
    },
  ],
  [
    "a failed attempt is counted, and the leaf waits for its time",
    async ({ store }) => {
      const { leafId } = await submit(store);
      const at = Date.now() + LONG_LEASE_MS;
      await store.retry(await claim(store), failureOf("overloaded"), at, [delta("partial")]);
      const leaf = await recordOf(store, leafId);
      deepStrictEqual([leaf.state, leaf.failedAttempts, leaf.notBeforeMs, leaf.worker], [LeafState.RETRYING, 1, BigInt(at), undefined]);
      ok(leaf.failure && equals(FailureSchema, leaf.failure, failureOf("overloaded")));
      await nothingReady(store);
      const log = await logOf(store, leafId);
      deepStrictEqual(words(log), ["queued", "running", "partial", "retrying"]);
      const last = log.at(-1)?.event;
      ok(last?.case === "stateChanged" && last.value.failure?.message === "overloaded" && last.value.notBeforeMs === BigInt(at));
    },
  ],
  [
    "a leaf is claimed again when its wait is over, without the old failure",
    async ({ store, connect }) => {
      const { leafId } = await submit(store);
      await store.retry(await claim(store), failureOf("overloaded"), Date.now() + 20, []);
      const next = await claimWhenReady(await connect());
      deepStrictEqual([next.leaf.leafId, next.takeover, next.leaf.failure, next.leaf.notBeforeMs], [leafId, false, undefined, 0n]);
      ok(BigInt(Date.now()) >= next.leaf.updatedAtMs);
      strictEqual(next.leaf.failedAttempts, 1);
    },
  ],
  [
    "leaves whose wait is over and leaves that never ran are claimed in order of submission",
    async ({ store }) => {
      const submitted = [];
      for (let i = 0; i < 3; i++) submitted.push((await submit(store)).leafId);
      const [first, second] = [await claim(store), await claim(store)];
      await store.retry(second, failureOf("x"), Date.now(), []);
      await store.retry(first, failureOf("x"), Date.now() - 5, []);
      const order = [];
      for (let i = 0; i < 3; i++) order.push((await claim(store)).leaf.leafId);
      deepStrictEqual(order, submitted);
    },
  ],
];

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
