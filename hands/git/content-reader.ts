import { createHash, type Hash } from "node:crypto";
import { type BigIntStats, closeSync, constants, openSync, readlinkSync, readSync } from "node:fs";
import type { Handle } from "@serverless-harness/kit/paths/handle";
import { errnoOf } from "@serverless-harness/kit/paths/path-error";
import { type BytePath, childPath, openChild, statChild } from "../fs/byte-names.ts";
import type { Pacer } from "../fs/pacer.ts";
import type { EntryMode, TreeEntry } from "./tree-entries.ts";

/** Takes the contents of files, each once or more often. */
export interface BlobSink {
  /** This content need not be given. */
  has(oid: string): boolean;
  add(content: Uint8Array): Promise<void>;
  /** A large one, in pieces; `chunks` yields `size` bytes altogether. */
  addLarge(size: number, chunks: AsyncIterable<Uint8Array>): Promise<void>;
}

export interface ReadEntry extends TreeEntry {
  readonly size: number;
  /** By this the same content is known again without reading it: see {@link tagOf}. Empty if it may have changed meanwhile. */
  readonly tag: string;
}

/** Up to this size a file is read at once. */
const SMALL_BYTES = 1024 * 1024;
const CHUNK_BYTES = 256 * 1024;

/**
 * The kernel's clock for files stands still for a tick (up to 10 ms): what changes twice within one tick has the same times. A file whose
 * change time is not that much older than its reading may change once more without showing it.
 */
const TICK_NS = 20_000_000n;

/**
 * Changes with a file's content: what replaces it has another inode, what writes into it moves its change time, which
 * can't be set back.
 */
export function tagOf(stat: BigIntStats): string {
  return `${stat.ino.toString(36)}-${stat.size.toString(36)}-${stat.mtimeNs.toString(36)}-${stat.ctimeNs.toString(36)}`;
}

/** The mode that a tree has for what a stat tells; `undefined` for what no tree holds: a directory, FIFO, socket or device. */
export function entryMode(stat: BigIntStats): EntryMode | undefined {
  if (stat.isSymbolicLink()) return "120000";
  if (!stat.isFile()) return undefined;
  return (stat.mode & 0o100n) === 0n ? "100644" : "100755";
}

export interface ReadOptions {
  /** Gets the content. Default: nobody. */
  readonly sink: BlobSink | undefined;
  readonly pacer: Pacer;
}

/** What changes its kind while it is looked at is looked at so often. */
const ATTEMPTS = 5;

/**
 * Read what has a name in a directory; `undefined` if nothing has that a tree holds. Throws as the system calls do if
 * it may not be read.
 */
export async function readEntry(directory: Handle, name: BytePath, options: ReadOptions): Promise<ReadEntry | undefined> {
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    const stat = statChild(directory, name);
    const mode = stat === undefined ? undefined : entryMode(stat);
    if (mode === undefined) return undefined;
    const entry = mode === "120000" ? await readLink(directory, name, options) : await readFile(directory, name, options);
    if (entry !== undefined) return entry;
  }
  return undefined;
}

async function readLink(directory: Handle, name: BytePath, options: ReadOptions): Promise<ReadEntry | undefined> {
  const before = statChild(directory, name);
  const readAtNs = nowNs();
  const target = readTarget(childPath(directory, name));
  const after = statChild(directory, name);
  if (before === undefined || target === undefined || after === undefined) return undefined;
  const oid = await give(target, options.sink);
  return { mode: "120000", oid, size: target.length, tag: settledTag(before, after, readAtNs) };
}

async function readFile(directory: Handle, name: BytePath, options: ReadOptions): Promise<ReadEntry | undefined> {
  using handle = openChild(directory, name);
  if (handle === undefined) return undefined;
  const before = handle.stat();
  const mode = entryMode(before);
  if (!before.isFile() || mode === undefined) return undefined;
  const size = Number(before.size);
  const readAtNs = nowNs();
  // Through the handle, so that it is this very file: a name might lead elsewhere by now, and a FIFO would block.
  const fd = openSync(handle.path, constants.O_RDONLY);
  try {
    const oid = size <= SMALL_BYTES ? await give(readUpTo(fd, size), options.sink) : await readLarge(fd, size, options);
    return { mode, oid, size, tag: settledTag(before, handle.stat(), readAtNs) };
  } finally {
    closeSync(fd);
  }
}

function settledTag(before: BigIntStats, after: BigIntStats, readAtNs: bigint): string {
  const tag = tagOf(after);
  return tag === tagOf(before) && after.ctimeNs < readAtNs - TICK_NS ? tag : "";
}

function nowNs(): bigint {
  return BigInt(Date.now()) * 1_000_000n;
}

function readTarget(path: Buffer): Buffer | undefined {
  try {
    return readlinkSync(path, "buffer");
  } catch (error) {
    if (errnoOf(error) === "EINVAL" || errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
}

async function give(content: Uint8Array, sink: BlobSink | undefined): Promise<string> {
  const oid = createHash("sha1").update(`blob ${content.length}\0`).update(content).digest("hex");
  if (sink?.has(oid) === false) await sink.add(content);
  return oid;
}

async function readLarge(fd: number, size: number, { sink, pacer }: ReadOptions): Promise<string> {
  const hash = createHash("sha1").update(`blob ${size}\0`);
  const chunks = hashing(chunksOf(fd, size, pacer), hash);
  if (sink === undefined) for await (const _ of chunks);
  else await sink.addLarge(size, chunks);
  return hash.digest("hex");
}

async function* hashing(chunks: AsyncIterable<Buffer>, hash: Hash): AsyncGenerator<Buffer> {
  for await (const chunk of chunks) {
    hash.update(chunk);
    yield chunk;
  }
}

/** The first `size` bytes of a file. One that became shorter meanwhile is padded with zeros: its tag says that it has to be read again. */
async function* chunksOf(fd: number, size: number, pacer: Pacer): AsyncGenerator<Buffer> {
  for (let left = size; left > 0; ) {
    if (pacer.due) await pacer.rest();
    const read = readUpTo(fd, Math.min(left, CHUNK_BYTES));
    const chunk = read.length > 0 ? read : Buffer.alloc(Math.min(left, CHUNK_BYTES));
    left -= chunk.length;
    yield chunk;
  }
}

function readUpTo(fd: number, size: number): Buffer {
  const buffer = Buffer.allocUnsafe(size);
  let filled = 0;
  while (filled < size) {
    const read = readSync(fd, buffer, filled, size - filled, null);
    if (read === 0) break;
    filled += read;
  }
  return buffer.subarray(0, filled);
}
