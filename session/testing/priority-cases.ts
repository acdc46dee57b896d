import { deepStrictEqual } from "node:assert/strict";
import { claim, done, failureOf, submit } from "./build.ts";
import type { Case } from "./types.ts";

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
