import { afterAll, beforeAll } from "vitest";
import { RedisLeafStore, type RedisLeafStoreOptions } from "../redis/store.ts";
import type { RedisAddress } from "../store-url.ts";
import { parseStoreUrl } from "../store-url.ts";
import type { LeafStoreFixture } from "../testing/index.ts";
import { RedisServer } from "../testing/redis-server.ts";

/** A Redis for all tests of a file. */
export function redisServer(...args: readonly string[]): () => RedisServer {
  let server: RedisServer | undefined;
  beforeAll(async () => {
    server = await RedisServer.start(...args);
  });
  afterAll(() => server?.[Symbol.asyncDispose]());
  return () => {
    if (server === undefined) throw new Error("the file's Redis was not started");
    return server;
  };
}

/** What a store's address says. */
export function addressOf(url: string): RedisAddress {
  const address = parseStoreUrl(url);
  if (address.kind !== "redis") throw new Error(`${url} is no Redis address`);
  return address.redis;
}

/** A fresh Redis store. */
export async function redisFixture(url: string, options: RedisLeafStoreOptions = {}): Promise<LeafStoreFixture & { readonly url: string }> {
  const handles: RedisLeafStore[] = [];
  const connect = async (): Promise<RedisLeafStore> => {
    const handle = await RedisLeafStore.open(addressOf(url), options);
    handles.push(handle);
    return handle;
  };
  return {
    url,
    store: await connect(),
    connect,
    async [Symbol.asyncDispose]() {
      for (const handle of handles) await handle.close();
    },
  };
}
