import { BACKGROUND_CONTEXT } from "@earendil-works/pi-agent-core";
import { createSessionRepoConformance, createStorageConformance } from "@earendil-works/pi-agent-core/harness/session/testing";
import { openLeafStore, parseStoreUrl } from "@serverless-harness/session";
import { Database } from "@serverless-harness/session/redis";
import { claim, submit } from "@serverless-harness/session/testing";
import { redisServer } from "@serverless-harness/session/testing/redis-vitest";
import { describe, test } from "vitest";
import { RedisSessionRepo } from "../sessions/redis/repo.ts";
import { nameOfId, SessionKeys } from "../sessions/redis/session-keys.ts";
import { RedisStorage } from "../sessions/redis/storage.ts";

const server = redisServer();

async function freshDatabase(url: string): Promise<Database> {
  const address = parseStoreUrl(url);
  if (address.kind !== "redis") throw new Error(`${url} is no Redis address`);
  return Database.open(address.redis);
}

const disposals: (() => Promise<void>)[] = [];

const repoCases = createSessionRepoConformance(
  async () => {
    const database = await freshDatabase(server().freshUrl());
    const repo = new RedisSessionRepo({ database });
    disposals.push(async () => {
      await repo.close(BACKGROUND_CONTEXT);
      database.close();
    });
    return repo;
  },
  () => disposals.pop()?.(),
);

const storageCases = createStorageConformance(async () => {
  const database = await freshDatabase(server().freshUrl());
  const repo = new RedisSessionRepo({ database });
  const session = await repo.create({ id: "session" }, BACKGROUND_CONTEXT);
  await session.close(BACKGROUND_CONTEXT);
  const storage = new RedisStorage(new SessionKeys(database, nameOfId("session"), undefined), Date.now);
  return {
    storage,
    async [Symbol.asyncDispose]() {
      await storage.close();
      database.close();
    },
  };
});

/** The same, behind a live owner's fence. */
const fencedCases = createStorageConformance(async () => {
  const url = server().freshUrl();
  const [store, database] = [await openLeafStore(url), await freshDatabase(url)];
  await submit(store, { sessionId: "s" });
  const { fence } = await claim(store);
  const session = await new RedisSessionRepo({ database, fence }).create({ id: "acme/s" }, BACKGROUND_CONTEXT);
  await session.close(BACKGROUND_CONTEXT);
  const storage = new RedisStorage(new SessionKeys(database, nameOfId("acme/s"), fence), Date.now);
  return {
    storage,
    async [Symbol.asyncDispose]() {
      await storage.close();
      database.close();
      await store.close();
    },
  };
});

const suites = { "session repository": repoCases, storage: storageCases, "storage, fenced": fencedCases };
for (const [suite, cases] of Object.entries(suites)) {
  describe(`Pi's ${suite} suite on Redis`, () => {
    for (const each of cases) test(`${each.group}: ${each.name}`, () => each.run());
  });
}
