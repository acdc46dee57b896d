import {
  closeSync,
  constants,
  fdatasync,
  fdatasyncSync,
  ftruncateSync,
  openSync,
  renameSync,
  rmSync,
  statSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { promisify } from "node:util";
import { FileLock } from "../file-lock.ts";
import {
  firstSeq,
  headPath,
  headText,
  MAX_LINE_BYTES,
  partPath,
  partsOf,
  readEnd,
  readEndOf,
  readHead,
  readIfThere,
  tornPath,
} from "./files.ts";
import { hashOf, NO_LINE, type Place } from "./line.ts";

/** A log that takes no line now. */
export class LogUnwritable extends Error {
  override readonly name = "LogUnwritable";
}

/** A log's file, and how much is kept. */
export interface ChainedLogOptions {
  readonly path: string;
  /** A file that would grow beyond this is set aside, and the next one begun. */
  readonly maxBytes: number;
  /** Files that are set aside and kept; the oldest goes first, and the log says so. 0: all. */
  readonly keepFiles: number;
}

/** What a line says beside its number, time and hash, which nothing of it may be called like. */
export interface Fields {
  readonly action: string;
  readonly seq?: never;
  readonly at?: never;
  readonly prev?: never;
  readonly [field: string]: unknown;
}

type OwnAction = "log.torn" | "log.broken" | "log.lost" | "log.removed";

const OWN_FIELDS = ["seq", "at", "prev"] as const;
const NOTHING: Place = { seq: 0, hash: NO_LINE };

/**
 * A log of JSON lines, each of which carries the hash of the one before, so that none can be changed, removed or put in without it being seen. One process
 * writes it at a time. A line is written by one call of the system before {@link append} returns: it survives the end of the process, but a power cut only
 * after the next {@link sync}.
 */
export class ChainedLog {
  readonly #options: ChainedLogOptions;
  readonly #lock: FileLock;
  readonly #head: number;
  #fd: number;
  #size: number;
  #firstSeq: number | undefined;
  #place: Place;
  /** The last line that outlasts a power cut, as far as this process knows. */
  #syncedSeq = -1;
  /** Lines that could not be written since the last one that could. */
  #lost = 0;
  /** After the last whole line there may be a part of one. */
  #isTorn = false;
  #problem: string | undefined;

  /**
   * Open a log, or begin it, and go on after its last whole line. What a killed process left of another one is set aside in a file beside it, and the log says
   * so; lines that are missing at the end it tells of too. Throws if somebody else writes it, or it can't be used.
   */
  static open(options: ChainedLogOptions): ChainedLog {
    const lock = new FileLock(`${options.path}.lock`);
    try {
      if (!lock.tryHold()) throw new Error(`${options.path} is written by another process: give each a file of its own`);
      return new ChainedLog(options, lock);
    } catch (error) {
      lock.close();
      throw error;
    }
  }

  private constructor(options: ChainedLogOptions, lock: FileLock) {
    const { path } = options;
    this.#options = options;
    this.#lock = lock;
    rmSync(nextPath(path), { force: true });
    this.#fd = openFile(path);
    const { last, wholeBytes, torn } = readEnd(this.#fd, path);
    const newest = partsOf(path).at(-1);
    this.#size = wholeBytes;
    this.#firstSeq = firstSeq(this.#fd);
    const found = last ?? (newest === undefined ? undefined : readEndOf(newest).last) ?? NOTHING;
    const head = readHead(path);
    this.#place = head !== undefined && head.seq > found.seq ? { seq: head.seq, hash: found.hash } : found;
    this.#head = openSync(headPath(path), constants.O_RDWR | constants.O_CREAT, 0o600);
    const setAside = this.#setAside(torn);
    const broken = breakAt(found, head);
    if (broken !== undefined) this.#own("log.broken", broken);
    if (setAside !== undefined) this.#own("log.torn", setAside);
    this.#writeHead();
  }

  /** What is wrong with it; `undefined` while it takes lines. */
  get problem(): string | undefined {
    return this.#problem;
  }

  /** Where it ends. */
  get end(): Place {
    return this.#place;
  }

  /**
   * Write a line. {@link LogUnwritable} if that was not possible: it counts as lost then, and once the log takes lines again it says first how many were. Returns the
   * line's number. Throws a TypeError for a field with a name that is the chain's own.
   */
  append(fields: Fields): number {
    for (const name of OWN_FIELDS)
      if (Object.hasOwn(fields, name)) throw new TypeError(`a line of a chained log can't have a ${name} of its own`);
    let seq = Number.POSITIVE_INFINITY;
    try {
      this.#tellLost();
      seq = this.#place.seq + 1;
      this.#write(fields);
      this.#problem = undefined;
      return seq;
    } catch (error) {
      // The line itself may be there, and only its head is not.
      if (this.#place.seq < seq) this.#lost++;
      this.#problem = `${this.#options.path} takes no line: ${error instanceof Error ? error.message : error}`;
      throw new LogUnwritable(this.#problem, { cause: error });
    }
  }

  /** Try again, if the last line could not be written: it works once the log says that lines were lost. */
  retry(): void {
    if (this.#problem === undefined) return;
    try {
      this.#tellLost();
      this.#problem = undefined;
    } catch {
      // It is as it was.
    }
  }

  /** Have all lines outlast a power cut. */
  async sync(): Promise<void> {
    const { seq } = this.#place;
    if (seq === this.#syncedSeq) return;
    await promisify(fdatasync)(this.#fd);
    this.#syncedSeq = seq;
  }

  /** Let go of the file. */
  close(): void {
    closeSync(this.#fd);
    closeSync(this.#head);
    this.#lock.close();
  }

  #tellLost(): void {
    if (this.#lost === 0) return;
    this.#own("log.lost", { lines: this.#lost });
    this.#lost = 0;
  }

  #own(action: OwnAction, fields: Readonly<Record<string, unknown>>): void {
    this.#write({ action, ...fields });
  }

  #write({ action, ...fields }: Fields): void {
    const seq = this.#place.seq + 1;
    const text = JSON.stringify({ seq, at: new Date().toISOString(), action, ...fields, prev: this.#place.hash });
    const bytes = Buffer.from(`${text}\n`);
    if (bytes.length > MAX_LINE_BYTES) throw new Error(`a line has at most ${MAX_LINE_BYTES} bytes`);
    const isFull = this.#size > 0 && this.#size + bytes.length > this.#options.maxBytes;
    if (isFull) this.#begin();
    this.#put(bytes);
    this.#firstSeq ??= seq;
    this.#place = { seq, hash: hashOf(text) };
    this.#writeHead();
    if (isFull) this.#removeOldest();
  }

  #writeHead(): void {
    writeSync(this.#head, headText(this.#place), 0);
  }

  /** All of it or nothing: what a full disk took of a line is cut off again. */
  #put(bytes: Buffer): void {
    this.#cut();
    this.#isTorn = true;
    try {
      for (let written = 0; written < bytes.length; ) written += writeSync(this.#fd, bytes, written);
      this.#isTorn = false;
    } catch (error) {
      this.#cut();
      throw error;
    }
    this.#size += bytes.length;
  }

  #cut(): void {
    if (this.#isTorn) ftruncateSync(this.#fd, this.#size);
    this.#isTorn = false;
  }

  /** Set the full file aside and begin the next one. */
  #begin(): void {
    const { path } = this.#options;
    // Whoever syncs later has the next file only.
    fdatasyncSync(this.#fd);
    rmSync(nextPath(path), { force: true });
    const next = openFile(nextPath(path));
    renameSync(path, partPath(path, this.#firstSeq ?? 0));
    renameSync(nextPath(path), path);
    closeSync(this.#fd);
    this.#fd = next;
    this.#size = 0;
    this.#firstSeq = undefined;
  }

  #removeOldest(): void {
    const { path, keepFiles } = this.#options;
    const parts = partsOf(path);
    if (keepFiles === 0) return;
    for (const part of parts.slice(0, -keepFiles)) {
      // Told before, so that a file which is missing without a word was removed by somebody else.
      this.#own("log.removed", { file: part.slice(part.lastIndexOf("/") + 1), through: readEndOf(part).last });
      unlinkSync(part);
    }
  }

  /** Keep what was written of a line in a file of its own, then cut it off. A process may be killed at any step of it. */
  #setAside(torn: Buffer): Readonly<Record<string, unknown>> | undefined {
    const file = tornPath(this.#options.path, this.#place.seq + 1);
    const before = readIfThere(file) ?? Buffer.alloc(0);
    const isNew = torn.length > 0 && !before.subarray(-torn.length).equals(torn);
    const all = isNew ? Buffer.concat([before, torn]) : before;
    if (isNew) {
      writeFileSync(`${file}.new`, all, { mode: 0o600 });
      renameSync(`${file}.new`, file);
    }
    if (torn.length > 0) ftruncateSync(this.#fd, this.#size);
    if (all.length === 0) return undefined;
    return { file: file.slice(file.lastIndexOf("/") + 1), bytes: all.length, sha256: hashOf(all) };
  }
}

/** What is wrong with the end of a log, by what was written down of it. A head may be one line behind, if its writer was killed in between. */
function breakAt(found: Place, head: Place | undefined): Readonly<Record<string, unknown>> | undefined {
  if (head === undefined) return found.seq === 0 ? undefined : { problem: "head_missing" };
  if (head.seq > found.seq) return { problem: "lines_missing", from: found.seq + 1, through: head.seq };
  if (head.seq === found.seq && head.hash !== found.hash) return { problem: "last_line_changed", line: found.seq };
  return undefined;
}

/** A file for its owner alone, in which each write goes to the end. */
function openFile(path: string): number {
  const fd = openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_APPEND | constants.O_NOFOLLOW, 0o600);
  if (statSync(path).isFile()) return fd;
  closeSync(fd);
  throw new Error(`${path} must be a file`);
}

function nextPath(path: string): string {
  return `${path}.next`;
}
