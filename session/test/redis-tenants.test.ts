import { Cluster, Redis } from "ioredis";
import { expect, onTestFinished, test } from "vitest";
import type { LeafStore } from "../index.ts";
import { openRedisLeafStore } from "../redis/store.ts";
import { claim, claimWhenReady, done, LONG_LEASE_MS, NEVER, nothingReady, submit } from "../testing/build.ts";
import { redisCluster, redisServer } from "../testing/redis-vitest.ts";
import { addressOf } from "./redis-fixture.ts";

const server = redisServer();
const cluster = redisCluster();

async function open(url: string): Promise<LeafStore> {
  const store = await openRedisLeafStore(addressOf(url));
  onTestFinished(() => store.close());
  return store;
}

function control(): Redis {
  const redis = new Redis(server().port, "127.0.0.1");
  onTestFinished(() => redis.disconnect());
  return redis;
}

/** Every key of a cluster's index, gone, as after a process that died before it told. */
async function loseIndex(url: string): Promise<void> {
  const { host, port, prefix } = addressOf(url);
  const redis = new Cluster([{ host, port }]);
  onTestFinished(() => redis.disconnect());
  await redis.ping();
  for (const node of redis.nodes("master")) {
    for (const key of await node.keys(`{${prefix}:index}*`)) await redis.del(key);
  }
  await redis.del(`${prefix}:repaired`);
}

test("a cluster's work that the index knows nothing of is found by a process that starts, and by one that waits", async () => {
  const url = cluster().freshUrl();
  const [store, waiting] = [await open(url), await open(url)];
  const first = await submit(store);
  await loseIndex(url);
  expect((await claim(await open(url))).leaf.leafId).toBe(first.leafId);
  const second = await submit(store);
  await loseIndex(url);
  await waiting.waitForWork(LONG_LEASE_MS, NEVER);
  expect((await claim(waiting)).leaf.leafId).toBe(second.leafId);
});

test("on one node every leaf is found at once, whichever partition it is in, by any number of workers at the same time", async () => {
  const store = await open(server().freshUrl());
  const submitted = await Promise.all(Array.from({ length: 100 }, () => submit(store)));
  const claims = await Promise.all(Array.from({ length: 100 }, () => claim(store)));
  expect(new Set(claims.map(({ leaf }) => leaf.leafId))).toEqual(new Set(submitted.map(({ leafId }) => leafId)));
  await nothingReady(store);
});

test("names of tenants that would collide when they are joined are different tenants", async () => {
  const store = await open(server().freshUrl());
  const tenants = ["a", "a/b", "a:b", "a%2Fb", "{a}", "a b"];
  for (const tenant of tenants) await submit(store, { tenant });
  const claimed = [];
  for (const _ of tenants) claimed.push((await claim(store)).fence.tenant);
  expect(claimed.sort()).toEqual(tenants.sort());
});

test("a tenant whose leaves are over costs nothing", async () => {
  const url = server().freshUrl("partitions=2");
  const store = await open(url);
  const keys = async (): Promise<string[]> => control().keys(`*${addressOf(url).prefix}:*`);
  const run = async (tenant: string): Promise<void> => {
    const leaf = await submit(store, { tenant, sessionId: "s", priority: Number(tenant.slice(1)) % 3 });
    expect((await claim(store)).leaf.leafId).toBe(leaf.leafId);
  };
  await run("t0");
  await store.releaseWorker("worker-1", "");
  await store.finish(await claimWhenReady(store), done(""), []);
  const before = (await keys()).length;
  for (let i = 1; i <= 50; i++) {
    await run(`t${i}`);
    await store.releaseWorker("worker-1", "");
    await store.finish(await claimWhenReady(store), done(""), []);
  }
  // Of each, a leaf with its log and its listings, a session, and what its leaves are counted in.
  expect((await keys()).length - before).toBeLessThanOrEqual(50 * 6 + 4);
  expect(await control().zcard(`{${addressOf(url).prefix}:index}:passes`)).toBeLessThan(200);
});
