import { parseStoreUrl, type RedisAddress } from "../contract/store-url.ts";
import type { LeafStore } from "../index.ts";
import { openRedisLeafStore, type RedisLeafStoreOptions } from "../redis/store.ts";
import type { LeafStoreFixture } from "../testing/index.ts";

/** What a store's address says. */
export function addressOf(url: string): RedisAddress {
  const address = parseStoreUrl(url);
  if (address.kind !== "redis") throw new Error(`${url} is no Redis address`);
  return address.redis;
}

/** A fresh Redis store. */
export async function redisFixture(url: string, options: RedisLeafStoreOptions = {}): Promise<LeafStoreFixture & { readonly url: string }> {
  const handles: LeafStore[] = [];
  const connect = async (now?: () => number): Promise<LeafStore> => {
    const handle = await openRedisLeafStore(addressOf(url), now === undefined ? options : { ...options, now });
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
