import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { equals } from "@bufbuild/protobuf";
import { LeafSchema, LeafState } from "@serverless-harness/proto/leaf";
import type { LeafQuery } from "../contract/leaf.ts";
import type { LeafStore } from "../contract/leaf-store.ts";
import { claim, done, failureOf, recordOf, refused, submit } from "./build.ts";
import type { Case } from "./types.ts";

/** The prompts of every leaf that a query finds, page by page. */
async function prompts(store: LeafStore, query: Partial<LeafQuery>, limit = 100): Promise<string[]> {
  const found: string[] = [];
  let pageToken: string | undefined;
  do {
    const page = await store.list({ limit, ...query, ...(pageToken === undefined ? {} : { pageToken }) });
    found.push(...page.leaves.map((leaf) => leaf.spec?.prompt ?? ""));
    pageToken = page.nextPageToken;
  } while (pageToken !== undefined);
  return found;
}

export const listCases: readonly Case[] = [
  [
    "leaves are listed newest first, as Get returns them",
    async ({ store }) => {
      for (const prompt of ["1", "2", "3"]) await submit(store, { prompt });
      await store.finish(await claim(store), done("hi"), []);
      deepStrictEqual(await prompts(store, {}), ["3", "2", "1"]);
      const { leaves } = await store.list({ limit: 10 });
      for (const leaf of leaves) ok(equals(LeafSchema, leaf, await recordOf(store, leaf.leafId)));
    },
  ],
  [
    "pages hold every leaf once, and the last one has no token",
    async ({ store }) => {
      for (let i = 1; i <= 7; i++) await submit(store, { prompt: `${i}` });
      for (const limit of [1, 2, 3, 7, 8]) deepStrictEqual(await prompts(store, {}, limit), ["7", "6", "5", "4", "3", "2", "1"]);
      strictEqual((await store.list({ limit: 7 })).nextPageToken, undefined);
      deepStrictEqual(await prompts(store, { tenant: "nobody" }), []);
    },
  ],
  [
    "leaves that are submitted meanwhile shift no page, in another process either",
    async ({ store, connect }) => {
      for (let i = 1; i <= 5; i++) await submit(store, { prompt: `${i}` });
      const first = await store.list({ limit: 2 });
      for (let i = 6; i <= 9; i++) await submit(store, { prompt: `${i}` });
      await store.finish(await claim(store), done(""), []);
      const { nextPageToken: pageToken = "" } = first;
      const next = await (await connect()).list({ limit: 2, pageToken });
      deepStrictEqual(
        [...first.leaves, ...next.leaves].map((leaf) => leaf.spec?.prompt),
        ["5", "4", "3", "2"],
      );
    },
  ],
  [
    "leaves are filtered by tenant and session",
    async ({ store }) => {
      await submit(store, { tenant: "a", sessionId: "s", prompt: "as" });
      await submit(store, { tenant: "b", sessionId: "s", prompt: "bs" });
      await submit(store, { tenant: "a", sessionId: "t", prompt: "at" });
      await submit(store, { tenant: "a", sessionId: "s", prompt: "as2" });
      deepStrictEqual(await prompts(store, { tenant: "a" }, 2), ["as2", "at", "as"]);
      deepStrictEqual(await prompts(store, { tenant: "a", sessionId: "s" }, 1), ["as2", "as"]);
      deepStrictEqual(await prompts(store, { sessionId: "s" }), ["as2", "bs", "as"]);
      deepStrictEqual(await prompts(store, { tenant: "c" }), []);
    },
  ],
  [
    "leaves are filtered by any of several states",
    async ({ store }) => {
      for (const prompt of ["done", "failed", "retrying", "suspended", "running", "queued"]) await submit(store, { prompt });
      await store.finish(await claim(store), done(""), []);
      await store.finish(await claim(store), { state: LeafState.FAILED, failure: failureOf("x") }, []);
      await store.retry(await claim(store), failureOf("x"), Date.now() + 600_000, []);
      const suspended = await claim(store);
      await claim(store);
      await store.release(suspended, "");
      deepStrictEqual(await prompts(store, { states: [LeafState.DONE, LeafState.QUEUED, LeafState.RETRYING] }, 1), [
        "queued",
        "retrying",
        "done",
      ]);
      deepStrictEqual(await prompts(store, { states: [LeafState.RUNNING] }), ["running"]);
      deepStrictEqual(await prompts(store, { states: [LeafState.SUSPENDED, LeafState.FAILED] }), ["suspended", "failed"]);
      strictEqual((await prompts(store, { states: [] })).length, 6);
    },
  ],
  [
    "leaves are filtered by all of several labels",
    async ({ store }) => {
      await submit(store, { prompt: "1", labels: { team: "blue", run: "1" } });
      await submit(store, { prompt: "2", labels: { team: "blue", run: "2" } });
      await submit(store, { prompt: "3", labels: { team: "red", run: "1" }, tenant: "b" });
      await submit(store, { prompt: "4" });
      deepStrictEqual(await prompts(store, { labels: { team: "blue" } }, 1), ["2", "1"]);
      deepStrictEqual(await prompts(store, { labels: { run: "1", team: "blue" } }), ["1"]);
      deepStrictEqual(await prompts(store, { labels: { run: "1" }, tenant: "b" }), ["3"]);
      deepStrictEqual(await prompts(store, { labels: { team: "green" } }), []);
      deepStrictEqual(await prompts(store, { labels: { run: "1" }, states: [LeafState.DONE] }), []);
      strictEqual((await prompts(store, { labels: {} })).length, 4);
    },
  ],
  [
    "a page token that is used with other filters than it came with is refused; the order in which they are said does not matter",
    async ({ store, connect }) => {
      const labels = { team: "blue", run: "1" };
      for (let i = 0; i < 3; i++) await submit(store, { tenant: "a", sessionId: `s${i}`, labels });
      const query = { limit: 1, tenant: "a", states: [LeafState.QUEUED, LeafState.RUNNING], labels };
      const { nextPageToken: pageToken = "" } = await store.list(query);
      const others = [{ tenant: "b" }, { sessionId: "s0" }, { states: [LeafState.QUEUED] }, { states: [] }, { labels: { team: "blue" } }];
      for (const other of others) await refused(store.list({ ...query, ...other, pageToken }), "invalid_argument");
      await refused(store.list({ limit: 1, pageToken }), "invalid_argument");
      const same = { ...query, states: [LeafState.RUNNING, LeafState.QUEUED], labels: { run: "1", team: "blue" }, limit: 2, pageToken };
      strictEqual((await (await connect()).list(same)).leaves.length, 2);
    },
  ],
  [
    "a page token that is not one of ours is refused, and so is a page of no or too many leaves",
    async ({ store }) => {
      await submit(store);
      for (const pageToken of ["x", "1", "bGVhZiAw", "bGVhZiAxMg==", "../..", "🙂"]) {
        await refused(store.list({ limit: 1, pageToken }), "invalid_argument");
      }
      for (const limit of [0, -1, 1001]) await refused(store.list({ limit }), "invalid_argument");
      strictEqual((await store.list({ limit: 1000 })).leaves.length, 1);
    },
  ],
];
