export { Connection } from "./connection.ts";
export { type OpenDatabaseOptions, openDatabase } from "./database.ts";
export { appendEvents } from "./events.ts";
export { assertFence } from "./fence.ts";
export { requireOwner } from "./ownership.ts";
export { isStillIdle } from "./sessions.ts";
export { SignalFile } from "./signal-file.ts";
export { SqliteLeafStore, type SqliteLeafStoreOptions } from "./store.ts";
