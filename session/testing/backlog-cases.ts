import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import type { LeafStore } from "../contract/leaf-store.ts";
import { DEFAULT_TENANT } from "../contract/tenants.ts";
import { claim, claimWhenReady, done, failureOf, LONG_LEASE_MS, NEVER, submit, workerOf } from "./build.ts";
import type { Case } from "./types.ts";

async function counts(store: LeafStore): Promise<[ready: number, running: number]> {
  const { ready, running } = await store.backlog();
  return [ready, running];
}

/** `make` has to end a wait that began before it, in another process. */
async function ends(waiting: LeafStore, make: () => Promise<unknown>): Promise<void> {
  const wait = waiting.waitForWork(LONG_LEASE_MS, NEVER);
  await make();
  await wait;
}

export const backlogCases: readonly Case[] = [
  ["an empty store has no backlog", async ({ store }) => deepStrictEqual(await store.backlog(), { ready: 0, running: 0 })],
  [
    "the backlog counts what can be claimed this moment and what runs",
    async ({ store, connect }) => {
      const other = await connect();
      for (const sessionId of ["a", "a", "b", "c"]) await submit(store, { sessionId });
      deepStrictEqual(await counts(other), [3, 0]);
      const [a, b] = [await claim(store), await claim(store)];
      deepStrictEqual(await counts(other), [1, 2]);
      await store.finish(a, done(""), []);
      deepStrictEqual(await counts(other), [2, 1]);
      await store.release(b, "");
      deepStrictEqual(await counts(other), [3, 0]);
      for (let i = 0; i < 3; i++) await store.finish(await claim(store), done(""), []);
      deepStrictEqual(await other.backlog(), { ready: 0, running: 0 });
    },
  ],
  [
    "the backlog is what claims then find, after any mixture of steps",
    async ({ store }) => {
      for (let i = 0; i < 40; i++) await submit(store, { sessionId: `s${i % 11}` });
      for (let i = 0; i < 12; i++) {
        const held = await claim(store);
        if (i % 4 === 0) await store.finish(held, done(""), []);
        if (i % 4 === 1) await store.release(held, "");
        if (i % 4 === 2) await store.retry(held, failureOf("x"), i % 8 === 2 ? 0 : Date.now() + LONG_LEASE_MS, []);
        if (i % 4 === 3) await store.finish(held, done(""), []);
      }
      const { ready, running } = await store.backlog();
      let claimed = 0;
      while ((await store.claim(workerOf("w"), LONG_LEASE_MS)) !== undefined) claimed++;
      strictEqual(claimed, ready);
      deepStrictEqual(await counts(store), [0, running + ready]);
    },
  ],
  [
    "the backlog counts of a tenant with a cap what it may run now, and no more",
    async ({ store }) => {
      for (const [tenant, count] of [
        ["capped", 5],
        ["free", 2],
      ] as const)
        for (let i = 0; i < count; i++) await submit(store, { tenant });
      await store.setTenant("capped", { weight: 1, maxRunning: 2 });
      deepStrictEqual(await counts(store), [4, 0]);
      for (let i = 0; i < 4; i++) await claim(store);
      deepStrictEqual(await counts(store), [0, 4]);
      await store.setTenant("capped", { weight: 1, maxRunning: 3 });
      deepStrictEqual(await counts(store), [1, 4]);
      await store.setTenant("capped", DEFAULT_TENANT);
      deepStrictEqual(await counts(store), [3, 4]);
    },
  ],
  [
    "the backlog tells when the next leaf becomes ready by time alone",
    async ({ store }) => {
      await submit(store);
      await submit(store);
      strictEqual((await store.backlog()).nextDueMs, undefined);
      const before = Date.now();
      const held = await claim(store, 500_000);
      const { nextDueMs = 0 } = await store.backlog();
      ok(nextDueMs >= before + 500_000 && nextDueMs <= Date.now() + 500_000);
      await store.retry(await claim(store), failureOf("x"), before + 100_000, []);
      strictEqual((await store.backlog()).nextDueMs, before + 100_000);
      await store.heartbeat(held, 1);
      await store.waitForWork(LONG_LEASE_MS, NEVER);
      deepStrictEqual(await store.backlog(), { ready: 1, running: 0, nextDueMs: before + 100_000 });
    },
  ],
  [
    "waiting for work ends at once where there is some",
    async ({ store }) => {
      await submit(store);
      await store.waitForWork(LONG_LEASE_MS, NEVER);
      strictEqual((await store.backlog()).ready, 1);
    },
  ],
  [
    "waiting for work ends when another process submits",
    async ({ store, connect }) => {
      await ends(await connect(), () => submit(store));
    },
  ],
  [
    "waiting for work ends when a leaf of a busy session can follow",
    async ({ store, connect }) => {
      await submit(store, { sessionId: "s" });
      await submit(store, { sessionId: "s" });
      const held = await claim(store);
      await ends(await connect(), () => store.finish(held, done(""), []));
    },
  ],
  [
    "waiting for work ends when a leaf is handed back or its worker is known to be dead",
    async ({ store, connect }) => {
      const other = await connect();
      await submit(store);
      const held = await claim(store);
      await ends(other, () => store.release(held, ""));
      await claim(store, LONG_LEASE_MS, "dead");
      await ends(other, () => store.releaseWorker("dead", ""));
    },
  ],
  [
    "waiting for work ends when a lease does, and when a failed attempt's wait is over",
    async ({ store, connect }) => {
      const other = await connect();
      await submit(store);
      await claim(store, 20);
      await other.waitForWork(LONG_LEASE_MS, NEVER);
      const held = await claimWhenReady(other);
      strictEqual(held.takeover, true);
      await ends(store, () => other.retry(held, failureOf("x"), Date.now() + 20, []));
      strictEqual((await claim(store)).leaf.failedAttempts, 1);
    },
  ],
  [
    "waiting for work ends after its time and when it is aborted",
    async ({ store }) => {
      await store.waitForWork(0, NEVER);
      await store.waitForWork(5, NEVER);
      await store.waitForWork(LONG_LEASE_MS, AbortSignal.abort());
      const abort = new AbortController();
      const wait = store.waitForWork(LONG_LEASE_MS, abort.signal);
      abort.abort();
      await wait;
    },
  ],
  [
    "waiting for idle ends at once if nothing is ready and nothing runs",
    async ({ store }) => {
      await store.waitForIdle(LONG_LEASE_MS, NEVER);
      await submit(store);
      await store.retry(await claim(store), failureOf("x"), Date.now() + LONG_LEASE_MS, []);
      await store.waitForIdle(LONG_LEASE_MS, NEVER);
      ok((await store.backlog()).nextDueMs);
    },
  ],
  [
    "waiting for idle ends when another process ends the last leaf of several tenants, hands it a wait, or cancels it",
    async ({ store, connect }) => {
      const other = await connect();
      await submit(store, { tenant: "one" });
      await submit(store, { tenant: "two" });
      const wait = other.waitForIdle(LONG_LEASE_MS, NEVER);
      const [first, second] = [await claim(store), await claim(store)];
      await store.finish(first, done(""), []);
      await store.suspend(second, { wakeKey: "k" }, "", []);
      await wait;
      const { leafId } = await submit(store);
      const again = other.waitForIdle(LONG_LEASE_MS, NEVER);
      await store.cancel(leafId, "");
      await again;
    },
  ],
  [
    "waiting for idle goes on while something is ready or runs",
    async ({ store }) => {
      const waits = async (): Promise<boolean> => {
        const abort = new AbortController();
        let ended = false;
        const wait = store.waitForIdle(LONG_LEASE_MS, abort.signal).then(() => {
          ended = true;
        });
        await store.waitForIdle(5, NEVER);
        const waiting = !ended;
        abort.abort();
        await wait;
        return waiting;
      };
      await submit(store, { sessionId: "s" });
      strictEqual(await waits(), true);
      const held = await claim(store);
      strictEqual(await waits(), true);
      await submit(store, { sessionId: "s" });
      await store.finish(held, done(""), []);
      strictEqual(await waits(), true);
    },
  ],
  [
    "every waiting process learns of new work",
    async ({ store, connect }) => {
      const waits = [store, await connect(), await connect()].map((handle) => handle.waitForWork(LONG_LEASE_MS, NEVER));
      await submit(store);
      await Promise.all(waits);
    },
  ],
];
