import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { claim, done, follow, LONG_LEASE_MS, NEVER, recordOf, refused, specOf, submit, words, workerOf } from "./build.ts";
import type { Case } from "./types.ts";

export const closeCases: readonly Case[] = [
  [
    "closing twice is closing once, and other handles go on",
    async ({ store, connect }) => {
      const { leafId } = await submit(store);
      const other = await connect();
      await other.close();
      await other.close();
      await store.finish(await claim(store), done("hi"), []);
      strictEqual((await recordOf(store, leafId)).result?.text, "hi");
    },
  ],
  [
    "closing ends followers and waits of that handle",
    async ({ store, connect }) => {
      const { leafId } = await submit(store);
      const held = await claim(store);
      const other = await connect();
      const [closing, staying] = [follow(other, leafId), follow(store, leafId)];
      const wait = other.waitForWork(LONG_LEASE_MS, NEVER);
      const idle = other.waitForIdle(LONG_LEASE_MS, NEVER);
      const notices = other.waitForNotices([], LONG_LEASE_MS, NEVER);
      await other.close();
      await wait;
      await idle;
      await notices;
      await closing;
      await store.finish(held, done(""), []);
      deepStrictEqual(words(await staying), ["queued", "running", "done"]);
    },
  ],
  [
    "a closed handle refuses every call and follows nothing",
    async ({ store, connect }) => {
      const { leafId } = await submit(store);
      const held = await claim(store);
      const other = await connect();
      await other.close();
      const calls = [
        other.submit({ spec: specOf(), idempotencyKey: "" }),
        other.get(leafId),
        other.list({ limit: 1 }),
        other.sessionExists("acme", "s"),
        other.claim(workerOf("w"), LONG_LEASE_MS),
        other.heartbeat(held, LONG_LEASE_MS),
        other.append(held, []),
        other.finish(held, done(""), []),
        other.release(held, ""),
        other.releaseWorker("w", ""),
        other.events(leafId, 0n, 1),
        other.backlog(),
        other.takeDuty("d", "h", 1),
        other.leaveDuty("d", "h"),
        other.claimNotices(1, [], 1),
        other.deadNotices("acme", 1),
        other.deadNotice(leafId, 1n),
        other.reviveNotice(leafId, 1n, ""),
      ];
      await Promise.all(calls.map((call) => refused(call, "store_closed")));
      deepStrictEqual(await follow(other, leafId), []);
      await other.waitForWork(LONG_LEASE_MS, NEVER);
    },
  ],
  [
    "what was written is there after every handle was closed",
    async ({ store, connect }) => {
      const { leafId } = await submit(store, { labels: { a: "b" } }, "key");
      await store.finish(await claim(store), done("hi"), []);
      await store.close();
      const reopened = await connect();
      strictEqual((await recordOf(reopened, leafId)).result?.text, "hi");
      deepStrictEqual(words(await follow(reopened, leafId)), ["queued", "running", "done"]);
      strictEqual((await reopened.submit({ spec: specOf({ labels: { a: "b" } }), idempotencyKey: "key" })).created, false);
    },
  ],
];
