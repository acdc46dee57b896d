import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import type { LeafStore } from "../contract/leaf-store.ts";
import { claim, done, failed, refused, submit } from "./build.ts";
import type { Case } from "./types.ts";

const AT_ONCE = { leafMs: 0, tombstoneMs: 0 };

/** Run a leaf of a session to its end and have it removed. Returns the epoch that it ran under. */
async function runOut(store: LeafStore, sessionId: string): Promise<bigint> {
  await submit(store, { sessionId });
  const held = await claim(store);
  await store.finish(held, done(""), []);
  await store.sweep(AT_ONCE, 10);
  return held.fence.epoch;
}

export const sessionCases: readonly Case[] = [
  [
    "a session stays when its leaves are removed, until it is removed itself",
    async ({ store, connect }) => {
      await submit(store, { sessionId: "s" });
      const held = await claim(store);
      const session = { tenant: "acme", sessionId: "s", epoch: held.fence.epoch };
      strictEqual(await store.removeSession(session), false);
      await store.finish(held, done(""), []);
      strictEqual(await store.removeSession(session), false);
      await store.sweep(AT_ONCE, 10);
      strictEqual(await store.sessionExists("acme", "s"), true);
      strictEqual(await store.removeSession({ ...session, tenant: "other" }), false);
      strictEqual(await (await connect()).removeSession(session), true);
      strictEqual(await store.sessionExists("acme", "s"), false);
      strictEqual(await store.removeSession(session), false);
      await refused(submit(store, { sessionId: "s", sessionMustExist: true }), "session_not_found");
    },
  ],
  [
    "a session is idle once its last leaf was removed, and its last owner came long ago; it is listed until it is removed",
    async ({ store, connect }) => {
      const other = await connect();
      await submit(store, { sessionId: "s" });
      const first = await claim(store);
      await store.finish(first, failed("x"), []);
      await store.sweep(AT_ONCE, 10);
      await submit(store, { sessionId: "s" });
      deepStrictEqual(await other.idleSessions(-60_000, 10, 0), []);
      const held = await claim(store);
      deepStrictEqual(await other.idleSessions(-60_000, 10, 0), []);
      await store.finish(held, done(""), []);
      deepStrictEqual(await other.idleSessions(-60_000, 10, 0), []);
      await store.sweep(AT_ONCE, 10);
      deepStrictEqual(await other.idleSessions(60_000, 10, 0), []);
      const session = { tenant: "acme", sessionId: "s", epoch: held.fence.epoch };
      for (let i = 0; i < 2; i++) deepStrictEqual(await other.idleSessions(-60_000, 10, 0), [session]);
      strictEqual(await store.removeSession({ ...session, epoch: first.fence.epoch }), false);
      strictEqual(await other.removeSession(session), true);
      deepStrictEqual(await store.idleSessions(-60_000, 10, 0), []);
    },
  ],
  [
    "idle sessions are listed in parts, all of them and each once",
    async ({ store }) => {
      const names = Array.from({ length: 7 }, (_, i) => `s${i}`);
      const epochs = new Map<string, bigint>();
      for (const name of names) epochs.set(name, await runOut(store, name));
      const found = [];
      for (let skip = 0; skip < 10; skip += 3) found.push(...(await store.idleSessions(-60_000, 3, skip)));
      deepStrictEqual(new Map(found.map(({ sessionId, epoch }) => [sessionId, epoch])), epochs);
      strictEqual(found.length, names.length);
      await refused(store.idleSessions(0, 0, 0), "invalid_argument");
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
        strictEqual(await store.removeSession({ tenant: "acme", sessionId: "s", epoch: last }), true);
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
