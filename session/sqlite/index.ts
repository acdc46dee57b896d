export { Connection } from "./connection.ts";
export { type OpenDatabaseOptions, openDatabase } from "./database.ts";
export { appendEvents } from "./events.ts";
export { assertFence, requireOwner } from "./ownership.ts";
export { isStillIdle } from "./sessions.ts";
export { SignalFile } from "./signal-file.ts";
export { openSqliteLeafStore, type SqliteLeafStore, type SqliteLeafStoreOptions } from "./store.ts";
