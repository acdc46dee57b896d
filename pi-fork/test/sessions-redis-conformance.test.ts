import { BACKGROUND_CONTEXT, type Write } from "@earendil-works/pi-agent-core";
import {
  type ConformanceCase,
  createSessionRepoConformance,
  createStorageConformance,
  type StorageFixture,
} from "@earendil-works/pi-agent-core/harness/session/testing";
import { openLeafStore, parseStoreUrl } from "@serverless-harness/session";
import { Database } from "@serverless-harness/session/redis";
import { claim, submit } from "@serverless-harness/session/testing";
import { redisCluster, redisServer } from "@serverless-harness/session/testing/redis-vitest";
import { describe, test } from "vitest";
import { RedisSessionRepo } from "../sessions/redis/repo.ts";
import { nameOfId, SessionKeys } from "../sessions/redis/session-keys.ts";
import { RedisStorage } from "../sessions/redis/storage.ts";
import type { WriterOptions } from "../sessions/redis/writer.ts";

const server = redisServer();
const cluster = redisCluster();

async function freshDatabase(url: string): Promise<Database> {
  const address = parseStoreUrl(url);
  if (address.kind !== "redis") throw new Error(`${url} is no Redis address`);
  return Database.open(address.redis);
}

/** Pi's two suites on the store at an address that nobody used before. */
function suitesOn(freshUrl: () => string): Readonly<Record<string, readonly ConformanceCase[]>> {
  const disposals: (() => Promise<void>)[] = [];
  return {
    "session repository": createSessionRepoConformance(
      async () => {
        const database = await freshDatabase(freshUrl());
        const repo = new RedisSessionRepo({ database });
        disposals.push(async () => {
          await repo.close(BACKGROUND_CONTEXT);
          database.close();
        });
        return repo;
      },
      () => disposals.pop()?.(),
    ),
    storage: createStorageConformance(() => openStorage(freshUrl())),
    "storage, fenced": createStorageConformance(() => openFencedStorage(freshUrl())),
    // As a streamed answer's pieces are, here whatever one list element is.
    "storage, fenced, acknowledged early": createStorageConformance(() => openFencedStorage(freshUrl(), { isPiece: isAppend })),
  };
}

async function openStorage(url: string): Promise<StorageFixture> {
  const database = await freshDatabase(url);
  await createSession(new RedisSessionRepo({ database }), "session");
  const storage = new RedisStorage(new SessionKeys(database, nameOfId("session"), undefined), Date.now);
  return {
    storage,
    async [Symbol.asyncDispose]() {
      await storage.close();
      database.close();
    },
  };
}

function isAppend(writes: readonly Write[]): boolean {
  return writes.length > 0 && writes.every((write) => write.kind === "list" && write.op === "append");
}

async function openFencedStorage(url: string, options: WriterOptions = {}): Promise<StorageFixture> {
  const [store, database] = [await openLeafStore(url), await freshDatabase(url)];
  await submit(store, { sessionId: "s" });
  const { fence } = await claim(store);
  await createSession(new RedisSessionRepo({ database, fence }), "acme/s");
  const storage = new RedisStorage(new SessionKeys(database, nameOfId("acme/s"), fence), Date.now, options);
  return {
    storage,
    async [Symbol.asyncDispose]() {
      await storage.close();
      database.close();
      await store.close();
    },
  };
}

async function createSession(repo: RedisSessionRepo, id: string): Promise<void> {
  const session = await repo.create({ id }, BACKGROUND_CONTEXT);
  await session.close(BACKGROUND_CONTEXT);
}

const places = { Redis: suitesOn(() => server().freshUrl()), "a Redis Cluster": suitesOn(() => cluster().freshUrl()) };
for (const [place, suites] of Object.entries(places)) {
  for (const [suite, cases] of Object.entries(suites)) {
    describe(`Pi's ${suite} suite on ${place}`, () => {
      for (const each of cases) test(`${each.group}: ${each.name}`, () => each.run());
    });
  }
}
