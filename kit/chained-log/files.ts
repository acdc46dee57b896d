import { closeSync, fstatSync, openSync, readdirSync, readFileSync, readSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { hashOf, type Place, parseLine } from "./line.ts";

/** The longest line, in bytes, with its line feed. */
export const MAX_LINE_BYTES = 32 * 1024;
const DIGITS = 12;
const PART = new RegExp(`\\.\\d{${DIGITS}}$`);
/** The head is always as long, so that a write replaces the whole of it and needs no room. */
const HEAD_BYTES = 128;

/** Where the end of a log is written down, beside its file: lines that are cut off at the end show nowhere else. */
export function headPath(path: string): string {
  return `${path}.head`;
}

/** Where the torn end of a log is set aside, named by the line that tells of it. */
export function tornPath(path: string, seq: number): string {
  return `${path}.torn-${number(seq)}`;
}

/** What a log's file is renamed to when it is full, named by the first line in it. */
export function partPath(path: string, firstSeq: number): string {
  return `${path}.${number(firstSeq)}`;
}

/** A file is a full one of some log, by its name. */
export function isPart(path: string): boolean {
  return PART.test(path);
}

/** The full files of a log, oldest first. */
export function partsOf(path: string): string[] {
  const name = basename(path);
  return readdirSync(dirname(path))
    .filter((file) => file.startsWith(name) && PART.exec(file)?.index === name.length)
    .sort()
    .map((file) => join(dirname(path), file));
}

/** The text of a head. */
export function headText(place: Place): string {
  return `${JSON.stringify(place).padEnd(HEAD_BYTES - 1)}\n`;
}

/** What a log's head says. `undefined`: there is none, or nothing was written to it yet. Throws if it says nothing of use. */
export function readHead(path: string): Place | undefined {
  const text = readIfThere(headPath(path));
  if (text === undefined || text.length === 0) return undefined;
  const place = parsePlace(text.toString());
  if (place === undefined) throw new Error(`${headPath(path)} does not say where the log ends`);
  return place;
}

/** A file's content; `undefined` if it is not there. */
export function readIfThere(path: string): Buffer | undefined {
  try {
    return readFileSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/** The end of a log's file. */
export interface End {
  /** Its last whole line. `undefined`: it has none. */
  readonly last: Place | undefined;
  /** Bytes up to the end of that line. */
  readonly wholeBytes: number;
  /** What stands after it: a line that was not written to its end. */
  readonly torn: Buffer;
}

/** Look at the end of an open file. Throws if its last whole line is no line of a log. */
export function readEnd(fd: number, path: string): End {
  const { size } = fstatSync(fd);
  const from = Math.max(0, size - 2 * MAX_LINE_BYTES);
  const tail = Buffer.alloc(size - from);
  readSync(fd, tail, 0, tail.length, from);
  const end = tail.lastIndexOf(0x0a);
  if (end === -1 && from > 0) throw notALog(path);
  if (end === -1) return { last: undefined, wholeBytes: 0, torn: tail };
  const text = tail.subarray(end === 0 ? 0 : tail.lastIndexOf(0x0a, end - 1) + 1, end);
  const line = parseLine(text.toString());
  if (line === undefined) throw notALog(path);
  return { last: { seq: line.seq, hash: hashOf(text) }, wholeBytes: from + end + 1, torn: tail.subarray(end + 1) };
}

/** {@link readEnd} of a file that is not open. */
export function readEndOf(path: string): End {
  const fd = openSync(path, "r");
  try {
    return readEnd(fd, path);
  } finally {
    closeSync(fd);
  }
}

/** The number of the first line of an open file; `undefined` if it has none. */
export function firstSeq(fd: number): number | undefined {
  const start = Buffer.alloc(MAX_LINE_BYTES);
  const length = readSync(fd, start, 0, start.length, 0);
  const end = start.subarray(0, length).indexOf(0x0a);
  return end === -1 ? undefined : parseLine(start.subarray(0, end).toString())?.seq;
}

function parsePlace(text: string): Place | undefined {
  try {
    const { seq, hash } = JSON.parse(text) as Partial<Place>;
    return typeof seq === "number" && typeof hash === "string" ? { seq, hash } : undefined;
  } catch {
    return undefined;
  }
}

function notALog(path: string): Error {
  return new Error(`the last line of ${path} is none of a log: verify it, and move it away with the files beside it`);
}

function number(seq: number): string {
  return String(seq).padStart(DIGITS, "0");
}
