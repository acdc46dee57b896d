import { setTimeout as delay } from "node:timers/promises";
import { HarnessError } from "@serverless-harness/kit/errors";
import { LeafState } from "@serverless-harness/proto/leaf";
import { Redis } from "ioredis";
import { expect, onTestFinished, test } from "vitest";
import { fingerprint } from "../contract/fingerprint.ts";
import { type LeafStore, openLeafStore } from "../index.ts";
import {
  assertGapFree,
  claim,
  claimWhenReady,
  delta,
  done,
  follow,
  LONG_LEASE_MS,
  logOf,
  sendScripts,
  specOf,
  submit,
  words,
  workerOf,
} from "../testing/build.ts";
import { Link } from "../testing/link.ts";
import { RedisServer } from "../testing/redis-server.ts";

async function startServer(...args: string[]): Promise<RedisServer> {
  const server = await RedisServer.start(...args);
  onTestFinished(() => server[Symbol.asyncDispose]());
  return server;
}

async function open(url: string): Promise<LeafStore> {
  const store = await openLeafStore(url);
  onTestFinished(() => store.close());
  return store;
}

/** After how many bytes a connection is cut: a line that is cut by the clock lets nothing through on a machine that is slow enough. */
const atRandom = (): number => 1 + Math.floor(Math.random() * 15_000);

function control(server: RedisServer): Redis {
  const redis = new Redis(server.port, "127.0.0.1");
  redis.on("error", () => undefined);
  onTestFinished(() => redis.disconnect());
  return redis;
}

/** Call until the store can be reached: as a worker does, that has nothing better to do. */
async function insist<T>(call: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await call();
    } catch (error) {
      if (!(error instanceof HarnessError) || !["store_unreachable", "store_busy"].includes(error.reason)) throw error;
    }
  }
}

test("a Redis that is killed under load and starts again from its file has all that was acknowledged", async () => {
  const server = await startServer();
  const store = await open(server.url());
  const [submitted, finished, appended] = [new Set<string>(), new Set<string>(), new Map<string, string[]>()];
  let over = false;
  const submitter = async (number: number): Promise<void> => {
    for (let i = 0; !over; i++) {
      const fields = { sessionId: `s${(i * 7 + number) % 23}`, prompt: `${number} ${i}` };
      submitted.add((await insist(() => submit(store, fields, `key-${number}-${i}`))).leafId);
    }
  };
  const worker = async (): Promise<void> => {
    while (!over) {
      const held = await insist(() => store.claim(workerOf("w"), 500));
      if (held === undefined) continue;
      const { leafId } = held.leaf;
      try {
        await store.append(held, [delta(leafId)]);
        appended.set(leafId, [...(appended.get(leafId) ?? []), leafId]);
        await store.finish(held, done(leafId), []);
        finished.add(leafId);
      } catch (error) {
        // Whoever can't tell what became of a step leaves the leaf to its next owner.
        if (!(error instanceof HarnessError)) throw error;
      }
    }
  };
  const running = [submitter(0), submitter(1), worker(), worker(), worker()];
  /** Resolves when some more leaves are finished. */
  const more = async (): Promise<void> => {
    for (const enough = finished.size + 7; finished.size < enough; ) await delay(1);
  };
  for (let round = 0; round < 3; round++) {
    await more();
    await delay(Math.random() * 100);
    await server.kill();
    await server.restart();
  }
  await more();
  over = true;
  await Promise.all(running);
  while ((await store.backlog()).ready + (await store.backlog()).running > 0) {
    const held = await claimWhenReady(store);
    await store.finish(held, done("late"), []);
  }
  for (const leafId of submitted) {
    const log = await logOf(store, leafId);
    assertGapFree(log);
    expect(words(log).at(-1)).toBe("done");
    expect(words(log).filter((word) => word === leafId).length).toBeGreaterThanOrEqual(appended.get(leafId)?.length ?? 0);
    expect(words(log).filter((word) => word === "done")).toHaveLength(1);
    if (finished.has(leafId)) expect((await store.get(leafId))?.result?.text).toBe(leafId);
  }
  const redis = control(server);
  for (let p = 0; p < 16; p++) {
    expect(await redis.exists(`{harness:${p}}:unfinished`, `{harness:${p}}:leases`, `{harness:${p}}:later`)).toBe(0);
    expect((await redis.hkeys(`{harness:${p}}:meta`)).filter((field) => field.startsWith("t:"))).toEqual([]);
  }
});

test("connections that are cut lose nothing and double nothing", async () => {
  const server = await startServer();
  await using link = await Link.to(server.port);
  const store = await open(`redis://127.0.0.1:${link.port}`);
  await sendScripts(store);
  const { leafId } = await submit(store, { sessionId: "s" });
  const held = await claim(store);
  const following = follow(store, leafId);
  link.reshape({ cutAfterBytes: atRandom });
  link.cut();
  for (let i = 0; i < 150; i++) {
    await insist(() => store.append(held, [delta(`${i}`)]));
    if (i % 10 === 0) await insist(() => store.heartbeat(held, LONG_LEASE_MS));
    if (i % 10 === 5) await insist(() => submit(store, { sessionId: `t${i}` }));
  }
  link.reshape({});
  link.cut();
  await store.finish(held, done(""), []);
  const all = ["queued", "running", ...Array.from({ length: 150 }, (_, i) => `${i}`), "done"];
  expect(words(await following)).toEqual(all);
  expect(words(await logOf(store, leafId))).toEqual(all);
  expect((await store.backlog()).ready).toBe(15);
});

test("a claim whose answer was cut off is answered again, so that no leaf is held for nobody", async () => {
  const server = await startServer();
  await using link = await Link.to(server.port);
  const direct = await open(server.url());
  await sendScripts(direct);
  for (let i = 0; i < 150; i++) await submit(direct);
  const store = await open(`redis://127.0.0.1:${link.port}`);
  link.reshape({ cutAfterBytes: atRandom });
  link.cut();
  const claimed: string[] = [];
  const claiming = async (worker: string): Promise<void> => {
    for (;;) {
      const held = await store.claim(workerOf(worker), LONG_LEASE_MS);
      if (held === undefined) return;
      claimed.push(`${held.leaf.leafId} ${held.leaf.claims} ${held.takeover}`);
    }
  };
  await Promise.all(["a", "b"].map(claiming));
  expect([claimed.length, new Set(claimed).size]).toEqual([150, 150]);
  expect(claimed.every((each) => each.endsWith(" 1 false"))).toBe(true);
  expect(await direct.backlog()).toMatchObject({ ready: 0, running: 150 });
});

test("any number of followers and waiting workers share one connection", async () => {
  const server = await startServer();
  const store = await open(server.url());
  const { leafId } = await submit(store);
  const held = await claim(store);
  const stop = new AbortController();
  const followers = Array.from({ length: 200 }, () => follow(store, leafId));
  const waiting = Array.from({ length: 50 }, () => store.waitForWork(LONG_LEASE_MS, stop.signal));
  await store.append(held, [delta("a")]);
  const clients = String(await control(server).client("LIST"))
    .split("\n")
    .filter((line) => line.includes(" name="));
  expect(clients).toHaveLength(3);
  stop.abort();
  await Promise.all(waiting);
  await store.finish(held, done(""), []);
  for (const log of await Promise.all(followers)) expect(words(log)).toEqual(["queued", "running", "a", "done"]);
});

test("a store goes on when Redis has forgotten every script", async () => {
  const server = await startServer();
  const store = await open(server.url());
  const redis = control(server);
  const { leafId } = await submit(store);
  await redis.script("FLUSH");
  const held = await claim(store);
  await redis.script("FLUSH");
  await store.finish(held, done("hi"), []);
  expect((await store.get(leafId))?.result?.text).toBe("hi");
});

test("a Redis that is full, and one that became a replica, say so and change nothing", async () => {
  const server = await startServer();
  const store = await open(server.url());
  const redis = control(server);
  const { leafId } = await submit(store, { sessionId: "s" });
  await redis.config("SET", "maxmemory", "1mb");
  await expect(submit(store, { sessionId: "s" })).rejects.toEqual(expect.objectContaining({ reason: "store_full" }));
  await redis.config("SET", "maxmemory", "0");
  await redis.call("REPLICAOF", "127.0.0.1", "1");
  await expect(submit(store, { sessionId: "s" })).rejects.toEqual(expect.objectContaining({ reason: "store_read_only" }));
  await redis.call("REPLICAOF", "NO", "ONE");
  expect((await store.list({ limit: 10 })).leaves.map((leaf) => leaf.leafId)).toEqual([leafId]);
});

test("a Redis that stays away is told as one, and a waiting worker comes back when it does", async () => {
  const server = await startServer();
  const store = await open(server.url());
  await server.kill();
  await expect(submit(store)).rejects.toEqual(expect.objectContaining({ reason: "store_unreachable" }));
  await server.restart();
  const { leafId } = await insist(() => submit(store));
  expect((await claimWhenReady(store)).leaf.leafId).toBe(leafId);
});

test("an idempotency key that was taken for a leaf that nobody wrote leads to that leaf", async () => {
  const server = await startServer();
  const store = await open(server.url());
  const redis = control(server);
  const { leaf } = await store.submit({ spec: specOf(), idempotencyKey: "key" });
  // As if its process had been killed between the two steps.
  await redis.flushall();
  await store.close();
  const again = await open(server.url());
  const reserved = { leaf: leaf.leafId, session: leaf.spec?.sessionId ?? "", at: String(Date.now()) };
  const key = "harness:idempotency:acme/key";
  await redis.hset(key, { ...reserved, fingerprint: fingerprint(specOf()) });
  const reused = expect.objectContaining({ reason: "idempotency_key_reused" });
  await expect(again.submit({ spec: specOf({ prompt: "other" }), idempotencyKey: "key" })).rejects.toEqual(reused);
  const adopted = await again.submit({ spec: specOf(), idempotencyKey: "key" });
  expect([adopted.created, adopted.leaf.leafId, adopted.leaf.state]).toEqual([true, leaf.leafId, LeafState.QUEUED]);
  // A reservation that is old and led to nothing is given to the next one that asks.
  await redis.hset("harness:idempotency:acme/old", {
    ...reserved,
    leaf: leaf.leafId.replace(/.{6}$/, "000000"),
    at: "1",
    fingerprint: "x",
  });
  expect((await again.submit({ spec: specOf({ prompt: "other" }), idempotencyKey: "old" })).created).toBe(true);
});

test("a leaf that was refused is written by nobody who had taken its idempotency key before", async () => {
  const server = await startServer();
  const first = await open(server.url());
  const { leafId } = await submit(first, { sessionId: "s" });
  const redis = control(server);
  await redis.flushall();
  const store = await open(server.url());
  const spec = specOf({ sessionId: "s", sessionMustExist: true });
  const reservation = { leaf: leafId, session: "s", fingerprint: fingerprint(spec), at: String(Date.now()) };
  await redis.hset("harness:idempotency:acme/key", reservation);
  await expect(store.submit({ spec, idempotencyKey: "key" })).rejects.toEqual(expect.objectContaining({ reason: "session_not_found" }));
  expect(await redis.exists("harness:idempotency:acme/key")).toBe(0);
  // As whoever read the key before sees it; by now its session is there.
  await redis.hset("harness:idempotency:acme/key", reservation);
  await submit(store, { sessionId: "s" });
  const written = await store.submit({ spec, idempotencyKey: "key" });
  expect([written.created, written.leaf.leafId === leafId, await store.get(leafId)]).toEqual([true, false, undefined]);
  expect(await store.submit({ spec, idempotencyKey: "key" })).toEqual({ leaf: written.leaf, created: false });
});

test("what a finished leaf leaves behind is its record, its log, its places in the indexes and what it counts for", async () => {
  const server = await startServer();
  const store = await open(server.url("partitions=1"));
  const redis = control(server);
  const run = async (): Promise<void> => {
    await submit(store, { sessionId: "s" });
    const held = await claim(store, LONG_LEASE_MS, "w");
    await store.append(held, [delta("a", "k")]);
    await store.finish(held, done(""), []);
  };
  await run();
  const before = (await redis.keys("*")).length;
  for (let i = 0; i < 20; i++) await run();
  expect((await redis.keys("*")).length - before).toBe(40);
  const left = (await redis.keys("*")).map((key) => key.replace(/leaf_\w+/, "ID"));
  expect([...new Set(left)].sort()).toEqual([
    "harness:layout",
    "{harness:0}:account:acme",
    "{harness:0}:ended",
    "{harness:0}:events:ID",
    "{harness:0}:leaf:ID",
    "{harness:0}:leaves",
    "{harness:0}:meta",
    "{harness:0}:of:acme/s",
    "{harness:0}:session:acme/s",
    "{harness:0}:tenant:acme",
    "{harness:index}:due",
    "{harness:index}:passes",
  ]);
});

test("one session id with separators in two tenants is two sessions", async () => {
  const server = await startServer();
  const store = await open(server.url());
  await submit(store, { tenant: "a", sessionId: "b/c" });
  await submit(store, { tenant: "a/b", sessionId: "c" });
  expect([await store.sessionExists("a", "b/c"), await store.sessionExists("a/b", "c"), await store.sessionExists("a", "b")]).toEqual([
    true,
    true,
    false,
  ]);
  const claims = [await claim(store), await claim(store)];
  expect(claims.map(({ fence }) => [fence.tenant, fence.sessionId])).toEqual([
    ["a", "b/c"],
    ["a/b", "c"],
  ]);
});
