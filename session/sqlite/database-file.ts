import { closeSync, openSync, readSync, statSync } from "node:fs";
import type { DatabaseSync } from "node:sqlite";
import type { ConfigError } from "@serverless-harness/kit/env";
import { storeLost } from "../contract/errors.ts";
import { readIdFile, unknownStore, writeIdFile } from "../contract/id-file.ts";

/** Where SQLite keeps `PRAGMA application_id` in the file's header: four bytes, the most significant one first. */
const ID_OFFSET = 68;
/** How often the header is read, which tells a file that was written over; the rest is looked at with each call. In milliseconds. */
const HEADER_MS = 1000;

/**
 * The file that a database was opened from. SQLite holds on to a file that was deleted, and makes a new one for who opens the path next, so
 * two halves of a system would work on two stores, and all that one of them acknowledges would be gone with its last process.
 */
interface DatabaseFile {
  readonly path: string;
  readonly id: number;
  readonly device: number;
  readonly inode: number;
  /** It only ever grows. */
  size: number;
  headerReadAt: number;
  /**
   * Inodes of the write-ahead log and of the index that processes share, by how their names go on, when it was
   * opened. SQLite keeps them for as long as one process has the database open; with others, two processes would write two databases.
   */
  readonly beside: ReadonlyMap<string, number | undefined>;
}

const files = new WeakMap<DatabaseSync, DatabaseFile>();

/** Name of the file beside a database that holds its id, so that one that was there is missed. */
function idPath(path: string): string {
  return `${path}-id`;
}

/**
 * Throw a {@link ConfigError} if the file beside `path` tells of a database that is not there any more: to be called before it is opened,
 * since that would make a new one.
 */
export function requireKnownFile(path: string): void {
  if (readId(path) === undefined) return;
  const found = statSync(path, { throwIfNoEntry: false });
  if (found === undefined) throw gone(path, "was deleted");
  if (found.size === 0) throw gone(path, "was emptied");
}

/** Throw a {@link ConfigError} if the open database is another one than the file beside it tells of. */
export function requireKnownDatabase(db: DatabaseSync, path: string): void {
  const known = readId(path);
  if (known !== undefined && known !== idOf(db)) throw gone(path, "was replaced by another one");
}

/** Give a database that has none an id, write it beside the file, and remember which file `db` is. */
export function rememberFile(db: DatabaseSync, path: string): void {
  const id = idOf(db) || giveId(db);
  if (readId(path) === undefined) writeIdFile(idPath(path), String(id));
  const { dev: device, ino: inode, size } = statSync(path);
  const beside = new Map(["-wal", "-shm"].map((suffix) => [suffix, inodeOf(`${path}${suffix}`)]));
  files.set(db, { path, id, device, inode, size, headerReadAt: performance.now(), beside });
}

/**
 * Throw DATA_LOSS `store_lost` if the path names another file than the one that `db` was opened from, or one that was cut short or written
 * over. Cheap enough for every call: one look at the directory.
 */
export function requireSameFile(db: DatabaseSync): void {
  const file = files.get(db);
  if (file === undefined) return;
  const found = statSync(file.path, { throwIfNoEntry: false });
  if (found === undefined) throw storeLost("was deleted");
  if (found.ino !== file.inode || found.dev !== file.device) throw storeLost("was replaced by another file");
  if (found.size < file.size) throw storeLost("was cut short");
  file.size = found.size;
  // Who deletes one of them deletes the log, or both.
  requireSameBeside(file, "-wal");
  if (performance.now() - file.headerReadAt < HEADER_MS) return;
  requireSameBeside(file, "-shm");
  const id = idInHeader(file.path);
  if (id !== 0 && id !== file.id) throw storeLost("was written over");
  file.headerReadAt = performance.now();
}

function requireSameBeside({ path, beside }: DatabaseFile, suffix: string): void {
  if (inodeOf(`${path}${suffix}`) !== beside.get(suffix))
    throw storeLost(`has lost its file ${path}${suffix}, which was deleted or replaced,`);
}

function inodeOf(path: string): number | undefined {
  return statSync(path, { throwIfNoEntry: false })?.ino;
}

function gone(path: string, what: string): ConfigError {
  return unknownStore(path, what, idPath(path));
}

function idOf(db: DatabaseSync): number {
  return Number(db.prepare("PRAGMA application_id").get()?.["application_id"] ?? 0);
}

/** Several processes may open a new database at once: the first one's id stays. */
function giveId(db: DatabaseSync): number {
  db.exec("BEGIN IMMEDIATE");
  try {
    const id = idOf(db) || 1 + Math.floor(Math.random() * 0x7fff_fffe);
    db.exec(`PRAGMA application_id = ${id}; COMMIT`);
    // From the log into the header, in which it is visible without SQLite.
    db.exec("PRAGMA wal_checkpoint(PASSIVE)");
    return id;
  } catch (error) {
    if (db.isTransaction) db.exec("ROLLBACK");
    throw error;
  }
}

function readId(path: string): number | undefined {
  const id = readIdFile(idPath(path));
  return id === undefined ? undefined : Number(id);
}

function idInHeader(path: string): number {
  const bytes = Buffer.alloc(4);
  const fd = openSync(path, "r");
  try {
    readSync(fd, bytes, 0, bytes.length, ID_OFFSET);
  } finally {
    closeSync(fd);
  }
  return bytes.readInt32BE();
}
