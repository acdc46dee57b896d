import { type LeafStore, parseStoreUrl } from "@serverless-harness/session";
import { openRedisLeafStore } from "@serverless-harness/session/redis";
import { openSqliteLeafStore } from "@serverless-harness/session/sqlite";

/** A store whose clock is the test's. */
export async function openStore(url: string, now: () => number): Promise<LeafStore> {
  const address = parseStoreUrl(url);
  if (address.kind === "sqlite") return openSqliteLeafStore(address.path, { now });
  return await openRedisLeafStore(address.redis, { now });
}
