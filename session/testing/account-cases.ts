import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { create } from "@bufbuild/protobuf";
import { UsageSchema } from "@serverless-harness/proto/leaf";
import type { AccountLimits, Charge } from "../contract/accounts.ts";
import type { NewEvent } from "../contract/claim.ts";
import type { LeafStore } from "../contract/leaf-store.ts";
import { claim, delta, done, failed, refusal, specOf } from "./build.ts";
import type { Case } from "./types.ts";

const NONE: AccountLimits = { unfinished: 0, bytes: 0, tokensPerDay: 0, microUsdPerDay: 0 };

/** Submit a leaf of `acme`; each has a session of its own, so that they are in several partitions. */
function submit(store: LeafStore, charge?: Charge, idempotencyKey = "", prompt = "say hi") {
  return store.submit({ spec: specOf({ prompt }), idempotencyKey, ...(charge === undefined ? {} : { charge }) });
}

/** The limit that a submit is refused for, and its value. */
async function limitOf(submitting: Promise<unknown>): Promise<string[]> {
  const error = await refusal(submitting);
  strictEqual(error.reason, "limit_reached");
  ok((error.retryAfterMs ?? 0) > 0);
  return [error.metadata["limit"] ?? "", error.metadata["value"] ?? ""];
}

function spending(inputTokens: bigint, costMicroUsd: bigint): NewEvent {
  return { event: { case: "usage", value: create(UsageSchema, { modelCalls: 1, inputTokens, outputTokens: 1n, costMicroUsd }) } };
}

export const accountCases: readonly Case[] = [
  [
    "unfinished leaves are counted for their tenant and their account, over every handle, until each is over",
    async ({ store, connect }) => {
      const other = await connect();
      const charge = { account: "token_1" };
      await submit(store, charge);
      const { leaf } = await submit(other, charge);
      await submit(other);
      const unfinished = async () => [
        (await other.accountUse("acme", "")).unfinished,
        (await store.accountUse("acme", "token_1")).unfinished,
      ];
      deepStrictEqual(await unfinished(), [3, 2]);
      await store.finish(await claim(store), done(""), []);
      deepStrictEqual(await unfinished(), [2, 1]);
      await store.cancel(leaf.leafId, "");
      deepStrictEqual(await unfinished(), [1, 0]);
      const third = await claim(store);
      await store.finish(third, failed("x"), []);
      deepStrictEqual(await unfinished(), [0, 0]);
      await store.redrive(third.leaf.leafId, false);
      deepStrictEqual(await unfinished(), [1, 0]);
      strictEqual((await store.accountUse("other", "")).unfinished, 0);
    },
  ],
  [
    "a limit on unfinished leaves refuses the next one, and says which limit and when to try again",
    async ({ store }) => {
      const charge = { account: "token_1", ofTenant: { ...NONE, unfinished: 3 }, ofAccount: { ...NONE, unfinished: 2 } };
      await submit(store, charge);
      await submit(store, charge, "key");
      deepStrictEqual(await limitOf(submit(store, charge)), ["token.unfinished", "2"]);
      // What was submitted before is found all the same.
      strictEqual((await submit(store, charge, "key")).created, false);
      await submit(store, { ...charge, account: "token_2" });
      deepStrictEqual(await limitOf(submit(store, { ...charge, account: "token_3" })), ["tenant.unfinished", "3"]);
      await store.finish(await claim(store), done(""), []);
      await submit(store, charge);
    },
  ],
  [
    "bytes are those of specs and events, and go with the leaves",
    async ({ store }) => {
      const charge = { account: "token_1", ofTenant: { ...NONE, bytes: 10_000 } };
      const bytes = async () => (await store.accountUse("acme", "")).bytes;
      await submit(store, charge, "", "x".repeat(4000));
      ok((await bytes()) >= 4000);
      deepStrictEqual(await limitOf(submit(store, charge, "", "x".repeat(7000))), ["tenant.bytes", "10000"]);
      const held = await claim(store);
      await store.append(held, [delta("y".repeat(3000), "a")]);
      await store.append(held, [delta("y".repeat(3000), "a")]);
      ok((await bytes()) >= 7000 && (await bytes()) < 8000);
      await store.finish(held, done(""), [delta("z".repeat(1000))]);
      ok((await bytes()) >= 8000);
      strictEqual((await store.accountUse("acme", "token_1")).bytes, await bytes());
      await store.sweep({ leafMs: 0, tombstoneMs: 60_000 }, 100);
      strictEqual(await bytes(), 0);
      strictEqual((await store.accountUse("acme", "token_1")).bytes, 0);
    },
  ],
  [
    "tokens and cost are counted once for the day, however often a leaf tells its sum",
    async ({ store }) => {
      const charge = { account: "token_1", ofTenant: { ...NONE, tokensPerDay: 1000 }, ofAccount: { ...NONE, microUsdPerDay: 50 } };
      await submit(store, charge);
      const held = await claim(store);
      await store.append(held, [spending(100n, 7n)]);
      await store.append(held, [spending(100n, 7n), spending(300n, 20n)]);
      const use = async (account: string) => {
        const { tokens, microUsd } = await store.accountUse("acme", account);
        return [tokens, microUsd];
      };
      deepStrictEqual(await use(""), [301, 20]);
      deepStrictEqual(await use("token_1"), [301, 20]);
      await store.finish(held, done(""), [spending(400n, 50n)]);
      deepStrictEqual(await use("token_1"), [401, 50]);
      deepStrictEqual(await limitOf(submit(store, charge)), ["token.micro_usd_per_day", "50"]);
      await submit(store, { ...charge, account: "token_2" });
      await store.finish(await claim(store), done(""), [spending(600n, 1n)]);
      deepStrictEqual(await limitOf(submit(store, { ...charge, account: "token_2" })), ["tenant.tokens_per_day", "1000"]);
    },
  ],
];

/** For stores in which all is counted in one step. */
export const exactAccountCases: readonly Case[] = [
  [
    "of fifty submits at once over three handles no more get in than the limit allows",
    async ({ store, connect }) => {
      const handles = [store, await connect(), await connect()];
      const charge = { account: "", ofTenant: { ...NONE, unfinished: 7 } };
      const submitting = Array.from({ length: 50 }, (_, i) => submit(handles[i % 3] ?? store, charge));
      const settled = await Promise.allSettled(submitting);
      strictEqual(settled.filter(({ status }) => status === "fulfilled").length, 7);
      strictEqual((await store.accountUse("acme", "")).unfinished, 7);
    },
  ],
];
