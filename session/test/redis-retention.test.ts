import { LeafState } from "@serverless-harness/proto/leaf";
import { Redis } from "ioredis";
import { describe, expect, onTestFinished, test } from "vitest";
import type { LeafStore } from "../index.ts";
import { openRedisLeafStore, type RedisLeafStoreOptions } from "../redis/store.ts";
import { claim, done, failed, follow, messageOf, nothingReady, refused, specOf, submit, workerOf } from "../testing/build.ts";
import { redisCluster, redisServer } from "../testing/redis-vitest.ts";
import { addressOf } from "./redis-fixture.ts";

const server = redisServer();
const cluster = redisCluster();

const places: Readonly<Record<string, () => string>> = {
  "one partition": () => server().freshUrl("partitions=1"),
  "16 partitions": () => server().freshUrl("partitions=16"),
  "a cluster": () => cluster().freshUrl(),
};

async function open(url: string, options: RedisLeafStoreOptions = {}): Promise<LeafStore> {
  const store = await openRedisLeafStore(addressOf(url), options);
  onTestFinished(() => store.close());
  return store;
}

/** Submit a leaf and run it to its end. */
async function ended(store: LeafStore, fields: Parameters<typeof specOf>[0] = {}, key = ""): Promise<string> {
  const { leafId } = await submit(store, fields, key);
  await store.finish(await claim(store), done(""), []);
  return leafId;
}

describe.each(Object.entries(places))("on %s", (_, url) => {
  test("what is over is removed when its time is, and leaves a tombstone for a time", async () => {
    let now = 1_000_000;
    const store = await open(url(), { now: () => now });
    const fields = { sessionId: "s", labels: { a: "b" } };
    const old = await ended(store, fields, "key");
    const waiting = await submit(store, { sessionId: "t" });
    await store.suspend(await claim(store), { wakeKey: "k" }, "", []);
    now += 1000;
    const young = await ended(store, { sessionId: "u" });
    now += 500;
    const keep = { leafMs: 1500, tombstoneMs: 3000 };
    expect(await store.sweep(keep, 10)).toBe(1);
    expect(await store.sweep(keep, 10)).toBe(0);
    expect([await store.get(old), await store.events(old, 0n, 10)]).toEqual([undefined, []]);
    expect(await store.tombstone(old)).toMatchObject({ leafId: old, state: LeafState.DONE, expiredAtMs: BigInt(now) });
    expect((await store.list({ limit: 10 })).leaves.map(({ leafId }) => leafId)).toEqual([young, waiting.leafId]);
    for (const query of [{ labels: { a: "b" } }, { tenant: "acme", sessionId: "s" }]) {
      expect((await store.list({ ...query, limit: 10 })).leaves).toEqual([]);
    }
    await refused(submit(store, fields, "key"), "leaf_expired");
    await refused(submit(store, { ...fields, prompt: "other" }, "key"), "idempotency_key_reused");
    now += 3000;
    expect(await store.sweep({ ...keep, leafMs: 1_000_000 }, 10)).toBe(1);
    expect(await store.tombstone(old)).toBeUndefined();
    expect((await store.submit({ spec: specOf(fields), idempotencyKey: "key" })).created).toBe(true);
  });

  test("many leaves are removed in steps of a bounded size, by several processes at once", async () => {
    const address = url();
    const [store, other] = [await open(address), await open(address)];
    for (let i = 0; i < 130; i++) await ended(store, { sessionId: `s${i % 5}` });
    const sweep = async (handle: LeafStore): Promise<number> => {
      for (let total = 0; ; ) {
        const swept = await handle.sweep({ leafMs: 0, tombstoneMs: 600_000 }, 20);
        total += swept;
        if (swept < 20) return total;
      }
    };
    const totals = await Promise.all([sweep(store), sweep(other)]);
    expect(totals.reduce((sum, each) => sum + each)).toBe(130);
    expect((await store.list({ limit: 10 })).leaves).toEqual([]);
  });

  test("a leaf that is queued again is not removed, and followers of one that is removed end", async () => {
    const store = await open(url());
    const { leafId } = await submit(store);
    await store.finish(await claim(store), failed("x"), []);
    await store.redrive(leafId, false);
    expect(await store.sweep({ leafMs: 0, tombstoneMs: 0 }, 10)).toBe(0);
    await store.finish(await claim(store), failed("x"), []);
    const iterator = store.follow(leafId, 0n, new AbortController().signal)[Symbol.asyncIterator]();
    await iterator.next();
    await store.sweep({ leafMs: 0, tombstoneMs: 600_000 }, 10);
    while (!(await iterator.next()).done);
    await refused(follow(store, leafId), "leaf_not_found");
    await refused(store.redrive(leafId, false), "leaf_not_found");
  });

  test("a session without leaves is forgotten, and no epoch of it comes back", async () => {
    const now = 5;
    const store = await open(url(), { now: () => now });
    expect(await store.removeSession({ tenant: "acme", sessionId: "s", epoch: 0n })).toBe(false);
    const { leafId } = await submit(store, { sessionId: "s" });
    for (let i = 0; i < 10; i++) await store.release(await claim(store), "");
    const last = await claim(store);
    const session = { tenant: "acme", sessionId: "s", epoch: last.fence.epoch };
    await store.finish(last, done(""), []);
    expect(await store.removeSession(session)).toBe(false);
    await store.sweep({ leafMs: 0, tombstoneMs: 0 }, 10);
    expect([await store.get(leafId), await store.removeSession(session), await store.sessionExists("acme", "s")]).toEqual([
      undefined,
      true,
      false,
    ]);
    await submit(store, { sessionId: "s" });
    const next = await claim(store);
    expect(next.fence.epoch).toBeGreaterThan(last.fence.epoch);
    await refused(store.append(last, []), "stale_epoch");
  });

  test("tenants take turns by their weights, and one at its cap holds up nobody", async () => {
    const store = await open(url());
    await store.setTenant("b", { weight: 2, maxRunning: 0 });
    await store.setTenant("c", { weight: 1, maxRunning: 1 });
    expect([await store.tenant("b"), await store.tenant("d")]).toEqual([
      { weight: 2, maxRunning: 0 },
      { weight: 1, maxRunning: 0 },
    ]);
    for (const tenant of ["a", "b", "c"]) for (let i = 0; i < 6; i++) await submit(store, { tenant });
    const order: string[] = [];
    const held = [];
    for (let i = 0; i < 8; i++) {
      held.push(await claim(store));
      order.push(held.at(-1)?.fence.tenant ?? "");
    }
    expect(order.join("")).toBe("abcbabba");
    const capped = held.find(({ fence }) => fence.tenant === "c");
    if (capped === undefined) throw new Error("c had no turn");
    for (let i = 0; i < 5; i++) await claim(store);
    await nothingReady(store);
    await store.finish(capped, done(""), []);
    expect((await claim(store)).fence.tenant).toBe("c");
    await refused(store.setTenant("a", { weight: 0, maxRunning: 0 }), "invalid_argument");
  });

  test("any number of claims at once stay below a tenant's cap", async () => {
    const address = url();
    const stores = [await open(address), await open(address)];
    const [store] = stores;
    await store?.setTenant("acme", { weight: 1, maxRunning: 3 });
    for (let i = 0; i < 20; i++) await submit(stores[0] as LeafStore);
    const claims = await Promise.all(Array.from({ length: 20 }, (_, i) => stores[i % 2]?.claim(workerOf(`w${i}`), 60_000)));
    expect(claims.filter((each) => each !== undefined)).toHaveLength(3);
  });

  test("of its tenant's leaves the one of the highest priority comes first, then the oldest", async () => {
    const store = await open(url());
    const submitted = [];
    for (const priority of [0, -5, 7, 0, 7, -100, 100]) submitted.push((await submit(store, { priority })).leafId);
    const claimed = [];
    for (const _ of submitted) claimed.push(submitted.indexOf((await claim(store)).leaf.leafId));
    expect(claimed).toEqual([6, 2, 4, 0, 3, 1, 5]);
  });
});

test("what was said to a leaf goes with it, and a leaf that nobody spoke to has no key for that", async () => {
  const url = server().freshUrl();
  const store = await open(url);
  const redis = new Redis(server().port, "127.0.0.1");
  onTestFinished(() => redis.disconnect());
  const keys = (): Promise<string[]> => redis.keys(`{${addressOf(url).prefix}:*:messages:*`);
  await ended(store);
  const { leafId } = await submit(store);
  await store.send(leafId, messageOf("m"));
  await store.finish(await claim(store), done(""), []);
  expect(await keys()).toEqual([expect.stringMatching(new RegExp(`:messages:${leafId}$`))]);
  await store.sweep({ leafMs: 0, tombstoneMs: 0 }, 10);
  expect([await store.get(leafId), await keys()]).toEqual([undefined, []]);
});
