import { setTimeout as delay } from "node:timers/promises";
import { BACKGROUND_CONTEXT, insertEntry, type Session } from "@earendil-works/pi-agent-core";
import { openLeafStore, parseStoreUrl } from "@serverless-harness/session";
import { Database } from "@serverless-harness/session/redis";
import { claim, submit } from "@serverless-harness/session/testing";
import { RedisServer } from "@serverless-harness/session/testing/redis";
import { redisServer } from "@serverless-harness/session/testing/redis-vitest";
import { expect, onTestFinished, test } from "vitest";
import { openPiSessions } from "../sessions/open.ts";
import { MAX_WRITE_BYTES } from "../sessions/redis/codec.ts";
import { RedisSessionRepo } from "../sessions/redis/repo.ts";
import { nameOfId, SessionKeys } from "../sessions/redis/session-keys.ts";
import { RedisStorage } from "../sessions/redis/storage.ts";

const server = redisServer();

interface Opened {
  readonly database: Database;
  readonly storage: RedisStorage;
  readonly base: string;
}

async function freshStorage(): Promise<Opened> {
  const address = parseStoreUrl(server().freshUrl());
  if (address.kind !== "redis") throw new Error("no Redis address");
  const database = await Database.open(address.redis);
  onTestFinished(() => database.close());
  const session = await new RedisSessionRepo({ database }).create({ id: "session" }, BACKGROUND_CONTEXT);
  await session.close(BACKGROUND_CONTEXT);
  const keys = new SessionKeys(database, nameOfId("session"), undefined);
  return { database, storage: new RedisStorage(keys, Date.now), base: `${database.names.base(keys.partition)}:pi:session` };
}

/** Custom entries `e<from>` to `e<to>`, one behind the other; every `compactEvery`th is a compaction. */
async function fill(storage: RedisStorage, from: number, to: number, compactEvery = Number.POSITIVE_INFINITY): Promise<void> {
  for (let i = from; i <= to; ) {
    const writes = [];
    for (const end = Math.min(to, i + 499); i <= end; i++) {
      const base = { id: `e${i}`, parentId: i === 1 ? null : `e${i - 1}` };
      const compaction = { ...base, type: "compaction" as const, summary: "s", retainedTail: [], tokensBefore: 1, fromHook: false };
      writes.push(insertEntry(i % compactEvery === 0 ? compaction : { ...base, type: "custom", customType: "note", data: i }));
    }
    await storage.commit(writes);
  }
}

/** How many commands Redis ran, and how many bytes it sent, while `work` did. */
async function cost(database: Database, work: () => Promise<unknown>): Promise<{ commands: number; bytes: number }> {
  const read = async (): Promise<[number, number]> => {
    const stats = String(await database.client.call("INFO", "all"));
    const calls = [...stats.matchAll(/^cmdstat_h\w+:calls=(\d+)/gm)].reduce((sum, match) => sum + Number(match[1]), 0);
    return [calls, Number(/total_net_output_bytes:(\d+)/.exec(stats)?.[1])];
  };
  const before = await read();
  await work();
  const after = await read();
  return { commands: after[0] - before[0], bytes: after[1] - before[1] };
}

test("reading back to the last compaction costs the same, however long the session is", async () => {
  const { database, storage } = await freshStorage();
  const read = (tip: number) => cost(database, () => storage.scanBranch({ start: `e${tip}`, stopAtType: "compaction" }));
  await fill(storage, 1, 530, 500);
  const short = await read(530);
  await fill(storage, 531, 100_030, 500);
  const long = await read(100_030);
  expect(short.commands).toBeGreaterThan(60);
  expect(long.commands).toBe(short.commands);
  expect(Math.abs(long.bytes - short.bytes)).toBeLessThan(2000);
});

test("no script looks at more than a page, whatever is asked of a long branch", async () => {
  const { database, storage } = await freshStorage();
  await fill(storage, 1, 3000);
  const page = (query: object) => cost(database, () => storage.scanBranch({ start: "e3000", ...query }));
  for (const order of ["oldestFirst", "newestFirst"] as const) {
    const ids = (await storage.scanBranch({ start: "e3000", order })).map(({ seq }) => seq);
    expect(ids).toEqual(Array.from({ length: 3000 }, (_, i) => (order === "oldestFirst" ? i + 1 : 3000 - i)));
    const near = await storage.scanBranch({ start: "e3000", order, limit: 3, cursor: { seq: 1500 } });
    expect(near.map(({ seq }) => seq)).toEqual(order === "oldestFirst" ? [1501, 1502, 1503] : [1499, 1498, 1497]);
  }
  // Finding the place takes some dozens of steps, not one for each entry on the way.
  expect((await page({ order: "newestFirst", limit: 3, cursor: { seq: 10 } })).commands).toBeLessThan(100);
  expect((await page({ order: "oldestFirst", limit: 3, cursor: { seq: 2990 } })).commands).toBeLessThan(100);
});

test("an entry that is not what was written is told with its place, and the others can be read", async () => {
  const { database, storage, base } = await freshStorage();
  await fill(storage, 1, 3);
  const body = String(await database.client.hget(`${base}:bodies`, "e2"));
  await database.client.hset(`${base}:bodies`, "e2", body.replace('"data":2', '"data":7'));
  const corrupt = expect.objectContaining({ reason: "entry_corrupt", metadata: { entry: "e2", seq: "2" } });
  await expect(storage.getEntries(["e2"])).rejects.toEqual(corrupt);
  await expect(storage.scanBranch({ start: "e3" })).rejects.toEqual(corrupt);
  expect([...(await storage.getEntries(["e1", "e3"])).keys()]).toEqual(["e1", "e3"]);
  expect(await storage.scanBranchStructure({ start: "e3" })).toHaveLength(3);
});

test("an entry over the limit is refused with the limit, and nothing of its commit is written", async () => {
  const { storage } = await freshStorage();
  const large = insertEntry({ id: "large", parentId: "small", type: "custom", customType: "note", data: "x".repeat(MAX_WRITE_BYTES) });
  const small = insertEntry({ id: "small", parentId: null, type: "custom", customType: "note" });
  const tooLarge = expect.objectContaining({ reason: "entry_too_large", metadata: { limitBytes: String(MAX_WRITE_BYTES) } });
  await expect(storage.commit([small, large])).rejects.toEqual(tooLarge);
  expect(await storage.scanEntries({})).toEqual([]);
  await storage.commit([small]);
});

test("a session whose Redis is killed under load has every entry that was acknowledged, once, and goes on by itself", async () => {
  await using own = await RedisServer.startInMemory();
  const store = await openLeafStore(own.url());
  const sessions = openPiSessions(own.url());
  await submit(store, { sessionId: "s" });
  const session: Session = await sessions.open((await claim(store)).fence);
  const main = await session.createBranch("main", null, BACKGROUND_CONTEXT);
  let over = false;
  let written = 0;
  const writing = (async () => {
    for (; !over; written++) await main.appendCustomEntry("note", written, BACKGROUND_CONTEXT);
  })();
  /** Resolves when some more were acknowledged. */
  const more = async (): Promise<void> => {
    for (const enough = written + 20; written < enough; ) await delay(1);
  };
  for (let round = 0; round < 3; round++) {
    await more();
    await delay(Math.random() * 50);
    await own.kill();
    await own.restart();
  }
  await more();
  over = true;
  await writing;
  const entries = await session.findEntries({ order: "asc" }, BACKGROUND_CONTEXT);
  expect(entries.map((entry) => (entry.type === "custom" ? entry.data : undefined))).toEqual(Array.from({ length: written }, (_, i) => i));
  await sessions.close();
  await store.close();
});

test("a Redis that can't be reached is told when the first session is opened", async () => {
  const sessions = openPiSessions("redis://127.0.0.1:1");
  await expect(sessions.open({ tenant: "acme", sessionId: "s", epoch: 1n })).rejects.toThrow("can't be reached");
  await sessions.close();
});
