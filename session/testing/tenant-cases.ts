import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import type { Claim } from "../contract/claim.ts";
import type { LeafStore } from "../contract/leaf-store.ts";
import { DEFAULT_TENANT, type TenantSettings } from "../contract/tenants.ts";
import { claim, claimWhenReady, done, failureOf, LONG_LEASE_MS, NEVER, nothingReady, refused, submit } from "./build.ts";
import type { Case } from "./types.ts";

async function submitMany(store: LeafStore, tenant: string, count: number): Promise<void> {
  for (let i = 0; i < count; i++) await submit(store, { tenant });
}

async function turns(store: LeafStore, count: number): Promise<string[]> {
  const taken: string[] = [];
  for (let i = 0; i < count; i++) taken.push((await claim(store)).fence.tenant);
  return taken;
}

const INVALID: readonly (readonly [string, TenantSettings])[] = [
  ["a weight of 0", { weight: 0, maxRunning: 0 }],
  ["a weight over 1000", { weight: 1001, maxRunning: 0 }],
  ["half a weight", { weight: 1.5, maxRunning: 0 }],
  ["a cap below 0", { weight: 1, maxRunning: -1 }],
  ["half a cap", { weight: 1, maxRunning: 0.5 }],
  ["a cap that is no number", { weight: 1, maxRunning: Number.NaN }],
];

export const tenantCases: readonly Case[] = [
  [
    "a tenant has the default settings until it is given some, which every handle sees",
    async ({ store, connect }) => {
      const other = await connect();
      deepStrictEqual({ ...(await store.tenant("acme")) }, { ...DEFAULT_TENANT });
      await store.setTenant("acme", { weight: 3, maxRunning: 7 });
      deepStrictEqual({ ...(await other.tenant("acme")) }, { weight: 3, maxRunning: 7 });
      await submit(store);
      await claim(store);
      deepStrictEqual({ ...(await other.tenant("acme")) }, { weight: 3, maxRunning: 7 });
      deepStrictEqual({ ...(await other.tenant("acm")) }, { ...DEFAULT_TENANT });
    },
  ],
  [
    "a thousand leaves of one tenant delay another's first by no more than one claim",
    async ({ store }) => {
      await submitMany(store, "big", 1000);
      await turns(store, 3);
      await submitMany(store, "small", 1);
      ok((await turns(store, 2)).includes("small"));
      await submitMany(store, "aaa", 1);
      ok((await turns(store, 2)).includes("aaa"));
    },
  ],
  [
    "tenants of equal weight take turns, the first by name first",
    async ({ store }) => {
      for (const tenant of ["b", "a", "C"]) await submitMany(store, tenant, 3);
      deepStrictEqual(await turns(store, 9), ["C", "a", "b", "C", "a", "b", "C", "a", "b"]);
    },
  ],
  [
    "claims are shared by weight",
    async ({ store }) => {
      await store.setTenant("three", { weight: 3, maxRunning: 0 });
      await submitMany(store, "one", 40);
      await submitMany(store, "three", 40);
      const taken = await turns(store, 40);
      strictEqual(taken.filter((tenant) => tenant === "three").length, 30);
      // Not in blocks: in every eight in a row, each has its share.
      for (let i = 0; i + 8 <= taken.length; i += 8) {
        const share = taken.slice(i, i + 8).filter((tenant) => tenant === "three").length;
        ok(share >= 5 && share <= 7, `${share} of 8`);
      }
    },
  ],
  [
    "a tenant that was idle saves up no turns",
    async ({ store }) => {
      await submitMany(store, "busy", 30);
      await turns(store, 10);
      await submitMany(store, "idle", 10);
      const taken = await turns(store, 10);
      strictEqual(taken.filter((tenant) => tenant === "idle").length, 5);
    },
  ],
  [
    "no more leaves of a tenant run at once than its cap says, and it holds up nobody",
    async ({ store, connect }) => {
      const other = await connect();
      await store.setTenant("a", { weight: 1, maxRunning: 2 });
      await submitMany(store, "a", 5);
      await submitMany(other, "b", 3);
      const held: Claim[] = [];
      for (let i = 0; i < 5; i++) held.push(await claim(i % 2 === 0 ? store : other));
      deepStrictEqual(held.map(({ fence }) => fence.tenant).sort(), ["a", "a", "b", "b", "b"]);
      await nothingReady(store);
      const { ready, running } = await store.backlog();
      deepStrictEqual([ready, running], [0, 5]);
      const first = held.find(({ fence }) => fence.tenant === "a");
      ok(first);
      await store.finish(first, done(""), []);
      strictEqual((await claim(other)).fence.tenant, "a");
      await nothingReady(store);
    },
  ],
  [
    "whatever ends a claim makes room below the cap, a lease's end too",
    async ({ store, connect }) => {
      const other = await connect();
      await store.setTenant("acme", { weight: 1, maxRunning: 1 });
      const first = await submit(store);
      await submit(store);
      let held = await claim(store);
      await store.release(held, "");
      held = await claim(store);
      await store.suspend(held, { wakeKey: "k" }, "", []);
      held = await claim(store, LONG_LEASE_MS, "dead");
      await store.wake(first.leafId, "k");
      await nothingReady(other);
      await store.releaseWorker("dead", "");
      await claim(store, 20);
      strictEqual((await claimWhenReady(other)).takeover, true);
    },
  ],
  [
    "waiting for work goes on where only a capped tenant has some, until there is room",
    async ({ store, connect }) => {
      const other = await connect();
      await store.setTenant("acme", { weight: 1, maxRunning: 1 });
      await submit(store);
      await submit(store);
      const held = await claim(store);
      let over = false;
      const waiting = other.waitForWork(LONG_LEASE_MS, NEVER).then(() => {
        over = true;
      });
      await store.append(held, []);
      await store.heartbeat(held, LONG_LEASE_MS);
      await other.waitForWork(50, NEVER);
      strictEqual(over, false);
      await store.finish(held, done(""), []);
      await waiting;
    },
  ],
  [
    "waiting workers in other processes learn of a cap that is raised",
    async ({ store, connect }) => {
      await store.setTenant("acme", { weight: 1, maxRunning: 1 });
      await submit(store);
      await submit(store);
      await claim(store);
      const waiting = (await connect()).waitForWork(LONG_LEASE_MS, NEVER);
      await store.setTenant("acme", { weight: 1, maxRunning: 0 });
      await waiting;
      await claim(store);
    },
  ],
  [
    "tenants whose names hold separators are different ones",
    async ({ store }) => {
      const names = ["a", "a/b", "a:b", "a b", "a%2Fb", "a{b}", "ä"];
      for (const name of names) await store.setTenant(name, { weight: 1, maxRunning: 1 });
      for (const tenant of names) for (let i = 0; i < 2; i++) await submit(store, { tenant, sessionId: `s${i}` });
      deepStrictEqual((await turns(store, names.length)).sort(), [...names].sort());
      await nothingReady(store);
    },
  ],
  ...INVALID.map(
    ([what, settings]): Case => [
      `${what} is refused`,
      async ({ store }) => {
        await refused(store.setTenant("acme", settings), "invalid_argument");
        deepStrictEqual({ ...(await store.tenant("acme")) }, { ...DEFAULT_TENANT });
      },
    ],
  ),
];

export const priorityCases: readonly Case[] = [
  [
    "of a tenant's leaves, those of higher priority are claimed first, and the oldest of equal ones",
    async ({ store }) => {
      for (const [i, priority] of [0, -100, 5, 0, 100, 5, -1].entries()) await submit(store, { prompt: `${i}`, priority });
      const order = [];
      for (let i = 0; i < 7; i++) order.push((await claim(store)).leaf.spec?.prompt);
      deepStrictEqual(order, ["4", "2", "5", "0", "3", "6", "1"]);
    },
  ],
  [
    "leaves that are ready again have their priority, too",
    async ({ store }) => {
      await submit(store, { prompt: "low", priority: 1 });
      await submit(store, { prompt: "high", priority: 2 });
      const [high, low] = [await claim(store), await claim(store)];
      await store.release(low, "");
      await store.retry(high, failureOf("x"), Date.now() - 5, []);
      deepStrictEqual((await claim(store)).leaf.spec?.prompt, "high");
    },
  ],
  [
    "on a session, leaves run in order of submission, whatever their priority",
    async ({ store }) => {
      await submit(store, { sessionId: "s", prompt: "first", priority: -5 });
      await submit(store, { sessionId: "s", prompt: "second", priority: 100 });
      await submit(store, { sessionId: "t", prompt: "other" });
      const order = [];
      for (let i = 0; i < 3; i++) {
        const held = await claim(store);
        order.push(held.leaf.spec?.prompt);
        await store.finish(held, done(""), []);
      }
      deepStrictEqual(order, ["other", "first", "second"]);
    },
  ],
  [
    "a priority counts among its tenant's leaves only",
    async ({ store }) => {
      for (let i = 0; i < 3; i++) await submit(store, { tenant: "a", priority: 100 });
      for (let i = 0; i < 3; i++) await submit(store, { tenant: "b", priority: -100 });
      const order = [];
      for (let i = 0; i < 6; i++) order.push((await claim(store)).fence.tenant);
      deepStrictEqual(order, ["a", "b", "a", "b", "a", "b"]);
    },
  ],
];
