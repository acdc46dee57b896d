export { Connection } from "./connection.ts";
export { type OpenDatabaseOptions, openDatabase } from "./database.ts";
export { assertFence } from "./fence.ts";
export { SqliteLeafStore, type SqliteLeafStoreOptions } from "./store.ts";
