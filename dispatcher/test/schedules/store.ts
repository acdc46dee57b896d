import { type LeafStore, parseStoreUrl } from "@serverless-harness/session";
import { RedisLeafStore } from "@serverless-harness/session/redis";
import { SqliteLeafStore } from "@serverless-harness/session/sqlite";

/** A store whose clock is the test's. */
export async function openStore(url: string, now: () => number): Promise<LeafStore> {
  const address = parseStoreUrl(url);
  if (address.kind === "sqlite") return SqliteLeafStore.open(address.path, { now });
  return await RedisLeafStore.open(address.redis, { now });
}
