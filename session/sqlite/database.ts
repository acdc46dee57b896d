import { chmodSync, closeSync, openSync, statSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { pathToFileURL } from "node:url";
import { ConfigError } from "@serverless-harness/kit/env";
import { rememberFile, requireKnownDatabase, requireKnownFile } from "./database-file.ts";
import { applySchema } from "./schema.ts";
import { isBusy, translateOpenError } from "./sqlite-error.ts";

/** How long a connection waits for another one's write lock, in milliseconds. A write holds it for about one fsync. */
const BUSY_TIMEOUT_MS = 5000;
const PRIVATE = 0o600;

/** How {@link openDatabase} opens. */
export interface OpenDatabaseOptions {
  /** Make the file if it is absent. Default true. */
  readonly create?: boolean;
}

/**
 * Open a store's database file: write-ahead log, every commit synced to disk, tables in place and of this version's layout. Several
 * processes may do so at once. Throws a {@link ConfigError} that says what to do if the file can't be used, or is not the one
 * that was there before.
 */
export function openDatabase(path: string, options: OpenDatabaseOptions = {}): DatabaseSync {
  let db: DatabaseSync | undefined;
  try {
    requireKnownFile(path);
    makePrivate(path, options.create ?? true);
    db = new DatabaseSync(location(path, options.create ?? true), { timeout: BUSY_TIMEOUT_MS });
    requireKnownDatabase(db, path);
    enterWal(db, path);
    // A commit that returned survives a power cut. The log is cut back to this size after a checkpoint.
    db.exec("PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 16777216;");
    applySchema(db, path);
    rememberFile(db, path);
    return db;
  } catch (error) {
    db?.close();
    throw translateOpenError(path, error);
  }
}

/** What callers and models said is for the file's owner alone: SQLite makes what lies beside it as this is. A file that another user owns is theirs. */
function makePrivate(path: string, create: boolean): void {
  try {
    if (create) closeSync(openSync(path, "a", PRIVATE));
  } catch {
    // SQLite can't open it either, and says so in the words that are known.
  }
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat?.isFile() && stat.uid === process.getuid?.() && (stat.mode & 0o077) !== 0) chmodSync(path, PRIVATE);
}

function location(path: string, create: boolean): string | URL {
  if (create) return path;
  const url = pathToFileURL(path);
  url.searchParams.set("mode", "rw");
  return url;
}

/** The switch needs the file for itself for a moment, and SQLite gives up on it at once instead of waiting. */
function enterWal(db: DatabaseSync, path: string): void {
  const giveUpAt = performance.now() + BUSY_TIMEOUT_MS;
  for (;;) {
    try {
      const mode = db.prepare("PRAGMA journal_mode = WAL").get()?.["journal_mode"];
      if (mode === "wal") return;
      throw new ConfigError(`the leaf store ${path} is on a file system without shared memory: put it on a local disk`);
    } catch (error) {
      if (!isBusy(error) || performance.now() > giveUpAt) throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
    }
  }
}
