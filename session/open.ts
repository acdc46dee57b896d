import type { LeafStore } from "./leaf-store.ts";
import { SqliteLeafStore } from "./sqlite/store.ts";
import { sqlitePath } from "./store-url.ts";

/**
 * Open the leaf store at an address: `sqlite:/absolute/path/leaf.db` (the file is made where it is absent, its directory must exist).
 * Throws a ConfigError that says what to do for another scheme, a path that can't be used, a file that is not a database, and a
 * database that another version of the system laid out.
 */
export async function openLeafStore(url: string): Promise<LeafStore> {
  return SqliteLeafStore.open(sqlitePath(url));
}
