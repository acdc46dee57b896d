import { join } from "node:path";
import { temporaryDirectory } from "@serverless-harness/kit/testing";
import { Redis } from "ioredis";
import { describe, expect, onTestFinished, test } from "vitest";
import type { LeafStore } from "../contract/leaf-store.ts";
import { openRedisLeafStore } from "../redis/store.ts";
import { openSqliteLeafStore } from "../sqlite/store.ts";
import {
  assertGapFree,
  claim,
  claimWhenReady,
  delta,
  done,
  failureOf,
  logOf,
  nothingReady,
  refused,
  specOf,
  submit,
  words,
} from "../testing/build.ts";
import { redisServer } from "../testing/redis-vitest.ts";
import { addressOf } from "./redis-fixture.ts";

const server = redisServer();

/** Opens handles of one store that read the time from a clock of the test. */
type Opener = (now?: () => number) => Promise<LeafStore>;

const drivers: Readonly<Record<string, () => Promise<Opener>>> = {
  SQLite: async () => {
    const path = join(await temporaryDirectory(), "leaf.db");
    return async (now) => openSqliteLeafStore(path, now === undefined ? {} : { now });
  },
  Redis: async () => {
    // Between partitions, leaves of one and the same moment have no order, and the clock of these tests stands still.
    const address = addressOf(server().freshUrl("partitions=1"));
    return (now) => openRedisLeafStore(address, now === undefined ? {} : { now });
  },
};

const HOUR_MS = 3_600_000;
const MIB = 2 ** 20;

describe.each(Object.entries(drivers))("a store on %s", (_, place) => {
  async function opened(open: Opener, now?: () => number): Promise<LeafStore> {
    const store = await open(now);
    onTestFinished(() => store.close());
    return store;
  }

  test("has no leaf twice and loses none when its clock jumps forth by an hour: leases end early, and their owners are refused once others claimed", async () => {
    const clock = { nowMs: Date.now() };
    const store = await opened(await place(), () => clock.nowMs);
    const { leafId } = await submit(store, { sessionId: "s" });
    const first = await claim(store, 60_000, "a");
    clock.nowMs += HOUR_MS;
    await store.append(first, [delta("a")]);
    const second = await claim(store, 60_000, "b");
    expect([second.leaf.leafId, second.takeover, second.fence.epoch > first.fence.epoch]).toEqual([leafId, true, true]);
    await refused(store.append(first, [delta("late")]), "stale_epoch");
    await store.finish(second, done("hi"), []);
    expect(words(await logOf(store, leafId))).toEqual(["queued", "running", "a", "running", "done"]);
  });

  test("keeps its order and its epochs when its clock jumps back by an hour: leases last longer by that, and waits too", async () => {
    const clock = { nowMs: Date.now() };
    const store = await opened(await place(), () => clock.nowMs);
    const [held, waiting, fresh] = [
      await submit(store, { sessionId: "s" }),
      await submit(store, { sessionId: "t" }),
      await submit(store, { sessionId: "u" }),
    ];
    const first = await claim(store, 60_000, "a");
    await store.retry(await claim(store), failureOf("x"), clock.nowMs + 1000, []);
    clock.nowMs -= HOUR_MS;
    const third = await claim(store, 60_000, "c");
    expect(third.leaf.leafId).toBe(fresh.leafId);
    await nothingReady(store);
    // What was submitted behind the jump comes behind what was there.
    const late = await submit(store, { sessionId: "s" });
    await store.finish(third, done("hi"), []);
    expect((await store.backlog()).ready).toBe(0);
    await store.append(first, [delta("a")]);
    await store.release(first, "drained");
    const again = await claim(store);
    expect([again.leaf.leafId, again.fence.epoch > first.fence.epoch]).toEqual([held.leafId, true]);
    await store.finish(again, done("hi"), []);
    await refused(store.append(first, [delta("late")]), "stale_epoch");
    expect((await claim(store)).leaf.leafId).toBe(late.leafId);
    clock.nowMs += HOUR_MS + 1000;
    const due = await claim(store);
    expect(due.leaf.leafId).toBe(waiting.leafId);
    await store.finish(due, done("hi"), []);
    for (const { leafId } of [held, waiting, fresh]) {
      const log = await logOf(store, leafId);
      assertGapFree(log);
      expect(words(log).filter((word) => word === "done")).toEqual(["done"]);
    }
  });

  test("tells tenants and sessions apart whose names together read the same", async () => {
    const store = await opened(await place());
    const names = [
      ["a", "b/c"],
      ["a/b", "c"],
      ["a:b", "c"],
      ["a", "b:c"],
      ["a%2Fb", "c"],
      ["{a}", "b"],
      ["a", "{b}"],
      ["a b", "c\n"],
    ] as const;
    const ids = new Map<string, string>();
    for (const [tenant, sessionId] of names) {
      expect(await store.sessionExists(tenant, sessionId)).toBe(false);
      const { leaf } = await store.submit({ spec: specOf({ tenant, sessionId, labels: { "a=b": "c" } }), idempotencyKey: sessionId });
      ids.set(`${tenant} ${sessionId}`, leaf.leafId);
    }
    for (const [tenant, sessionId] of names) {
      const { leaves } = await store.list({ tenant, sessionId, limit: 10 });
      expect(leaves.map(({ leafId }) => leafId)).toEqual([ids.get(`${tenant} ${sessionId}`)]);
    }
    // The same for idempotency keys, which are called as the sessions are here; and none of the sessions holds up another.
    expect(new Set(ids.values()).size).toBe(names.length);
    expect((await store.backlog()).ready).toBe(names.length);
  });

  test("keeps an event and a spec of 16 MiB, far more than the API lets through, whole", async () => {
    const store = await opened(await place());
    const text = "ä".repeat(8 * MIB);
    const { leafId, spec } = await submit(store, { prompt: text });
    expect(spec?.prompt.length).toBe(text.length);
    const held = await claim(store);
    await store.append(held, [delta(text)]);
    await store.finish(held, done(text), []);
    const log = await logOf(store, leafId);
    expect(words(log).map((word) => word.length)).toEqual(["queued".length, "running".length, text.length, "done".length]);
    expect((await store.get(leafId))?.result?.text).toBe(text);
  });

  test("is one store to handles that are opened twice, and an unknown leaf is unknown to all of them", async () => {
    const open = await place();
    const [first, second] = [await opened(open), await opened(open)];
    const { leafId } = await submit(first);
    const held = await claim(second);
    await first.append(held, [delta("a")]);
    await second.finish(held, done("hi"), []);
    expect(words(await logOf(first, leafId))).toEqual(["queued", "running", "a", "done"]);
    for (const id of ["leaf_unknown", "", "../leaf", `${leafId}0`, "x".repeat(10_000), "a:b{c}"]) {
      expect([await first.get(id), await first.events(id, 0n, 10)]).toEqual([undefined, []]);
    }
  });
});

test("a Redis that is full refuses with store_full, and goes on when there is room, with what was acknowledged and no half of a step", async () => {
  const address = addressOf(server().freshUrl());
  const store = await openRedisLeafStore(address);
  onTestFinished(() => store.close());
  const redis = new Redis(server().port, "127.0.0.1");
  onTestFinished(() => redis.disconnect());
  const { leafId } = await submit(store);
  const held = await claim(store);
  await redis.config("SET", "maxmemory", "1mb");
  const full = { reason: "store_full" };
  await expect(submit(store)).rejects.toMatchObject(full);
  await expect(store.submit({ spec: specOf({ prompt: "later" }), idempotencyKey: "key" })).rejects.toMatchObject(full);
  await expect(store.append(held, [delta("a")])).rejects.toMatchObject(full);
  await expect(store.finish(held, done("hi"), [])).rejects.toMatchObject(full);
  expect((await store.get(leafId))?.lastSeq).toBe(2n);
  await redis.config("SET", "maxmemory", "0");
  await store.append(held, [delta("a")]);
  await store.finish(held, done("hi"), []);
  expect(words(await logOf(store, leafId))).toEqual(["queued", "running", "a", "done"]);
  expect((await store.submit({ spec: specOf({ prompt: "later" }), idempotencyKey: "key" })).created).toBe(true);
  expect((await claimWhenReady(store)).leaf.spec?.prompt).toBe("later");
});
