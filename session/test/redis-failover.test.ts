import { expect, onTestFinished, test } from "vitest";
import { type Claim, type LeafStore, openLeafStore, parseStoreUrl } from "../index.ts";
import { openRedisLeafStore } from "../redis/index.ts";
import { claim, claimWhenReady, delta, done, follow, logOf, refused, specOf, submit, words } from "../testing/build.ts";
import { RedisPair } from "../testing/redis-pair.ts";

async function place(): Promise<{ pair: RedisPair; store: LeafStore }> {
  const pair = await RedisPair.start();
  const store = await openLeafStore(pair.url());
  onTestFinished(async () => {
    await store.close();
    await pair[Symbol.asyncDispose]();
  });
  return { pair, store };
}

async function refusedEverything(store: LeafStore, lost: Claim): Promise<void> {
  await refused(store.heartbeat(lost, 1000), "stale_epoch");
  await refused(store.append(lost, [delta("late")]), "stale_epoch");
  await refused(store.finish(lost, done("late"), []), "stale_epoch");
  await refused(store.release(lost, "late"), "stale_epoch");
}

test("the owner of a claim that was lost with the primary is refused, before and after the leaf is claimed again", async () => {
  const { pair, store } = await place();
  const { leafId } = await submit(store, { sessionId: "s" });
  await pair.stopReplication();
  const lost = await claim(store);
  await store.append(lost, [delta("lost")]);
  await pair.failOver();
  await refusedEverything(store, lost);
  expect((await store.get(leafId))?.claims).toBe(0);
  const held = await claimWhenReady(store);
  expect(held.leaf.leafId).toBe(leafId);
  expect(held.fence.epoch).toBeGreaterThan(lost.fence.epoch);
  await refusedEverything(store, lost);
  await store.finish(held, done("hi"), []);
  expect(words(await logOf(store, leafId))).toEqual(["queued", "running", "done"]);
});

test("an owner whose epoch comes back, since the new primary's clock lags, is refused where another worker has it", async () => {
  const { pair } = await place();
  const address = parseStoreUrl(pair.url());
  if (address.kind !== "redis") throw new Error(`${pair.url()} is no Redis address`);
  const store = await openRedisLeafStore(address.redis, { now: () => 1_000_000 });
  onTestFinished(() => store.close());
  await submit(store, { sessionId: "s" });
  await pair.stopReplication();
  const lost = await claim(store, 1000, "a");
  await pair.failOver();
  const held = await claim(store, 1000, "b");
  expect(held.fence.epoch).toBe(lost.fence.epoch);
  await refusedEverything(store, lost);
  await store.finish(held, done("hi"), []);
});

test("a session that was lost with all of its claims, and is made anew, gives out none of its epochs again", async () => {
  const { pair, store } = await place();
  await pair.stopReplication();
  await submit(store, { sessionId: "s" });
  const lost = await claim(store);
  await pair.failOver();
  const { leafId } = await submit(store, { sessionId: "s" });
  const held = await claimWhenReady(store);
  expect(held.fence.epoch).toBeGreaterThan(lost.fence.epoch);
  await refusedEverything(store, lost);
  await store.finish(held, done("hi"), []);
  expect(words(await logOf(store, leafId))).toEqual(["queued", "running", "done"]);
});

test("an end that was lost with the primary leaves the leaf running, and its owner can end it again", async () => {
  const { pair, store } = await place();
  const { leafId } = await submit(store, { sessionId: "s" });
  const held = await claim(store);
  await pair.stopReplication();
  await store.finish(held, done("hi"), []);
  await pair.failOver();
  expect((await store.get(leafId))?.result).toBeUndefined();
  await store.finish(held, done("hi"), []);
  expect((await store.get(leafId))?.result?.text).toBe("hi");
});

test("a submit that was lost is made again with its idempotency key: once, and as a leaf that the lost one's id does not lead to", async () => {
  const { pair, store } = await place();
  await pair.stopReplication();
  const lost = await store.submit({ spec: specOf(), idempotencyKey: "key" });
  await pair.failOver();
  expect(await store.get(lost.leaf.leafId)).toBeUndefined();
  const again = await store.submit({ spec: specOf(), idempotencyKey: "key" });
  expect([again.created, again.leaf.leafId === lost.leaf.leafId]).toEqual([true, false]);
  expect(await store.submit({ spec: specOf(), idempotencyKey: "key" })).toEqual({ leaf: again.leaf, created: false });
  expect((await store.list({ limit: 10 })).leaves).toHaveLength(1);
});

test("a submit that the replica has is found by its idempotency key, and never made twice", async () => {
  const { pair, store } = await place();
  const kept = await store.submit({ spec: specOf(), idempotencyKey: "key" });
  await pair.stopReplication();
  await pair.failOver();
  expect(await store.submit({ spec: specOf(), idempotencyKey: "key" })).toEqual({ leaf: kept.leaf, created: false });
});

test("a follower goes on at the replica without a word twice, where nothing was lost", async () => {
  const { pair, store } = await place();
  const { leafId } = await submit(store);
  const held = await claim(store);
  const following = follow(store, leafId);
  await store.append(held, [delta("a")]);
  await pair.stopReplication();
  await pair.failOver();
  await store.append(held, [delta("b")]);
  await store.finish(held, done("hi"), []);
  expect(words(await following)).toEqual(["queued", "running", "a", "b", "done"]);
});

test("events that were lost under a claim that the replica has are gone, and the next ones take their numbers", async () => {
  const { pair, store } = await place();
  const { leafId } = await submit(store);
  const held = await claim(store);
  await store.append(held, [delta("kept")]);
  await pair.stopReplication();
  await store.append(held, [delta("lost")]);
  expect(words(await store.events(leafId, 3n, 10))).toEqual(["lost"]);
  await pair.failOver();
  await store.append(held, [delta("next")]);
  await store.finish(held, done("hi"), []);
  expect(words(await logOf(store, leafId))).toEqual(["queued", "running", "kept", "next", "done"]);
  // Whoever had seen the lost one goes on behind it.
  expect(words(await follow(store, leafId, 4n))).toEqual(["done"]);
});
