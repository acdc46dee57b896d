import type { LeafStore } from "./contract/leaf-store.ts";
import { parseStoreUrl } from "./contract/store-url.ts";

/**
 * Open the leaf store at an address: `sqlite:/absolute/path/leaf.db` (the file is made where it is absent, its directory must exist), or
 * `redis://host:port` (`store-url.ts` has the whole form). Throws a ConfigError that says what to do for another scheme, a path that can't
 * be used, a file that is not a database, a Redis that can't be reached or would lose data, and a store that another version laid out.
 */
export async function openLeafStore(url: string): Promise<LeafStore> {
  const address = parseStoreUrl(url);
  // Each driver is loaded only where it is used: a brain that starts from zero pays for one.
  if (address.kind === "sqlite") return (await import("./sqlite/store.ts")).SqliteLeafStore.open(address.path);
  return (await import("./redis/store.ts")).RedisLeafStore.open(address.redis);
}
