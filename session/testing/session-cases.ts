import { ok, strictEqual } from "node:assert/strict";
import { claim, done, refused, submit } from "./build.ts";
import type { Case } from "./types.ts";

const AT_ONCE = { leafMs: 0, tombstoneMs: 0 };

export const sessionCases: readonly Case[] = [
  [
    "a session stays when its leaves are removed, until it is removed itself",
    async ({ store, connect }) => {
      await submit(store, { sessionId: "s" });
      strictEqual(await store.removeSession("acme", "s"), false);
      await store.finish(await claim(store), done(""), []);
      strictEqual(await store.removeSession("acme", "s"), false);
      await store.sweep(AT_ONCE, 10);
      strictEqual(await store.sessionExists("acme", "s"), true);
      strictEqual(await store.removeSession("other", "s"), false);
      strictEqual(await (await connect()).removeSession("acme", "s"), true);
      strictEqual(await store.sessionExists("acme", "s"), false);
      strictEqual(await store.removeSession("acme", "s"), false);
      await refused(submit(store, { sessionId: "s", sessionMustExist: true }), "session_not_found");
    },
  ],
  [
    "the epochs of a session that was removed never come back, however fast it is made anew",
    async ({ store }) => {
      let last = 0n;
      for (let i = 0; i < 20; i++) {
        await submit(store, { sessionId: "s" });
        const released = await claim(store);
        ok(released.fence.epoch > last);
        await store.release(released, "");
        const held = await claim(store);
        last = held.fence.epoch;
        await store.finish(held, done(""), []);
        await store.sweep(AT_ONCE, 10);
        strictEqual(await store.removeSession("acme", "s"), true);
        await submit(store, { sessionId: "s" });
        await refused(store.append(held, []), "stale_epoch");
        const next = await claim(store);
        ok(next.fence.epoch > last);
        await refused(store.append(held, []), "stale_epoch");
        last = next.fence.epoch;
        await store.finish(next, done(""), []);
      }
    },
  ],
];
