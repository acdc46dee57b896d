import { deepStrictEqual, notStrictEqual, ok, strictEqual } from "node:assert/strict";
import { equals } from "@bufbuild/protobuf";
import { DecisionKind, LeafSchema, LeafSpecSchema, LeafState, ThinkingLevel } from "@serverless-harness/proto/leaf";
import { claim, done, logOf, recordOf, refused, specOf, submit, words } from "./build.ts";
import type { Case } from "./types.ts";

export const submitCases: readonly Case[] = [
  [
    "a submitted leaf is queued, and its log begins with that",
    async ({ store }) => {
      const before = BigInt(Date.now());
      const { leaf, created } = await store.submit({ spec: specOf({ sessionId: "s" }), idempotencyKey: "" });
      ok(created);
      strictEqual(leaf.state, LeafState.QUEUED);
      strictEqual(leaf.lastSeq, 1n);
      ok(leaf.createdAtMs >= before - 1000n && leaf.createdAtMs === leaf.updatedAtMs);
      ok(equals(LeafSchema, await recordOf(store, leaf.leafId), leaf));
      const [event, ...more] = await logOf(store, leaf.leafId);
      deepStrictEqual([event?.leafId, event?.seq, event?.timeMs, more.length], [leaf.leafId, 1n, leaf.createdAtMs, 0]);
      ok(event?.event.case === "stateChanged" && event.event.value.state === LeafState.QUEUED);
    },
  ],
  [
    "a leaf keeps every field of its spec, and the caller's spec is left as it was",
    async ({ store }) => {
      const fields = {
        sessionId: "s",
        prompt: `line\n${"🙂".repeat(200_000)}`,
        model: "anthropic/claude",
        systemPrompt: "be kind",
        labels: { team: "blue", "a/b": "" },
        limits: { maxModelCalls: 3, deadlineMs: 9_000_000_000n },
        retry: { maxAttempts: 2, baseDelayMs: 5n, maxDelayMs: 6n },
      };
      const spec = specOf(fields);
      const { leaf } = await store.submit({ spec, idempotencyKey: "" });
      ok(equals(LeafSpecSchema, spec, specOf(fields)));
      const stored = (await recordOf(store, leaf.leafId)).spec;
      ok(stored !== undefined && equals(LeafSpecSchema, stored, spec));
    },
  ],
  [
    "an empty session id asks for a new session each time",
    async ({ store }) => {
      const [a, b] = [await submit(store), await submit(store)];
      ok(a.spec?.sessionId && b.spec?.sessionId);
      notStrictEqual(a.spec.sessionId, b.spec.sessionId);
      ok(await store.sessionExists("acme", a.spec.sessionId));
    },
  ],
  [
    "the same idempotency key with the same spec returns the first leaf",
    async ({ store }) => {
      const first = await submit(store, { labels: { a: "1", b: "2" } }, "key");
      const again = await store.submit({ spec: specOf({ labels: { b: "2", a: "1" } }), idempotencyKey: "key" });
      strictEqual(again.created, false);
      ok(equals(LeafSchema, again.leaf, first));
      strictEqual((await store.backlog()).ready, 1);
    },
  ],
  [
    "a known key returns the leaf as it is now, also when it is over",
    async ({ store }) => {
      const { leafId } = await submit(store, {}, "key");
      await store.finish(await claim(store), done("hi"), []);
      const { leaf, created } = await store.submit({ spec: specOf(), idempotencyKey: "key" });
      deepStrictEqual([leaf.leafId, leaf.state, leaf.result?.text, created], [leafId, LeafState.DONE, "hi", false]);
    },
  ],
  [
    "the same key with another spec is refused and adds nothing",
    async ({ store }) => {
      await submit(store, {}, "key");
      await refused(store.submit({ spec: specOf({ prompt: "other" }), idempotencyKey: "key" }), "idempotency_key_reused");
      await refused(store.submit({ spec: specOf({ sessionId: "other" }), idempotencyKey: "key" }), "idempotency_key_reused");
      strictEqual((await store.list({ limit: 10 })).leaves.length, 1);
      strictEqual(await store.sessionExists("acme", "other"), false);
    },
  ],
  [
    "a spec that means the same is the same under its key: whether a default is said or left out, and in which order",
    async ({ store, connect }) => {
      const { leafId } = await submit(store, { labels: { a: "1", b: "2" } }, "key");
      const same = [
        { limits: {} },
        { limits: { maxModelCalls: 200 }, retry: { maxAttempts: 5 }, gates: {} },
        { retry: { maxAttempts: 5, baseDelayMs: 1000n, maxDelayMs: 60_000n }, thinking: ThinkingLevel.OFF },
        { gates: { onDeadline: DecisionKind.REJECT }, images: [] },
      ];
      const other = await connect();
      for (const fields of same) strictEqual((await submit(other, { labels: { b: "2", a: "1" }, ...fields }, "key")).leafId, leafId);
      const different = [
        { limits: { maxModelCalls: 199 } },
        { retry: { maxDelayMs: 1000n } },
        { gates: { requestApproval: true } },
        { thinking: ThinkingLevel.LOW },
        // What a caller writes in JSON is the caller's own: there is no default in it.
        { outputSchema: {} },
        { input: {} },
      ];
      for (const fields of different) {
        await refused(submit(store, { labels: { a: "1", b: "2" }, ...fields }, "key"), "idempotency_key_reused");
      }
    },
  ],
  [
    "idempotency keys are kept per tenant",
    async ({ store }) => {
      const a = await submit(store, { tenant: "a" }, "key");
      const b = await submit(store, { tenant: "b" }, "key");
      notStrictEqual(a.leafId, b.leafId);
    },
  ],
  [
    "concurrent submits under one key make one leaf",
    async ({ store, connect }) => {
      const stores = [store, await connect(), await connect()];
      const answers = await Promise.all(
        Array.from({ length: 12 }, async (_, i) => stores[i % 3]?.submit({ spec: specOf(), idempotencyKey: "key" })),
      );
      strictEqual(new Set(answers.map((answer) => answer?.leaf.leafId)).size, 1);
      strictEqual(answers.filter((answer) => answer?.created).length, 1);
      strictEqual((await store.backlog()).ready, 1);
    },
  ],
  [
    "a session that has to exist and does not is refused, and its idempotency key stays free",
    async ({ store }) => {
      const spec = specOf({ sessionId: "s", sessionMustExist: true });
      await refused(store.submit({ spec, idempotencyKey: "key" }), "session_not_found");
      await refused(store.submit({ spec: specOf({ sessionMustExist: true }), idempotencyKey: "" }), "session_not_found");
      strictEqual((await store.list({ limit: 10 })).leaves.length, 0);
      await submit(store, { sessionId: "s" });
      strictEqual((await store.submit({ spec, idempotencyKey: "key" })).created, true);
    },
  ],
  [
    "a fork begins a new session: onto one that exists it is refused, and its idempotency key stays free",
    async ({ store }) => {
      await submit(store, { sessionId: "s" });
      const fork = { sessionId: "old", entryId: "e" };
      const spec = specOf({ sessionId: "s", fork });
      await refused(store.submit({ spec, idempotencyKey: "key" }), "session_exists");
      await refused(store.submit({ spec, idempotencyKey: "" }), "session_exists");
      const other = specOf({ sessionId: "t", fork });
      const { leaf, created } = await store.submit({ spec: other, idempotencyKey: "key" });
      deepStrictEqual([leaf.spec?.sessionId, leaf.spec?.fork?.entryId, created], ["t", "e", true]);
      strictEqual((await store.submit({ spec: other, idempotencyKey: "key" })).created, false);
      await refused(store.submit({ spec: other, idempotencyKey: "other key" }), "session_exists");
      ok((await submit(store, { fork })).spec?.sessionId);
    },
  ],
  [
    "a session exists from its first leaf on, in its own tenant only",
    async ({ store, connect }) => {
      strictEqual(await store.sessionExists("acme", "s"), false);
      await submit(store, { sessionId: "s" });
      const other = await connect();
      deepStrictEqual([await other.sessionExists("acme", "s"), await other.sessionExists("b", "s")], [true, false]);
      await store.finish(await claim(store), done(""), []);
      strictEqual(await store.sessionExists("acme", "s"), true);
    },
  ],
  [
    "an unknown leaf has no record and no events",
    async ({ store }) => {
      strictEqual(await store.get("leaf_unknown"), undefined);
      deepStrictEqual(words(await logOf(store, "leaf_unknown")), []);
    },
  ],
];
