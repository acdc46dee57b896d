import { closeSync, fstatSync, openSync, readFileSync, readSync, renameSync, statSync } from "node:fs";
import { parseObject } from "../json.ts";

/** A log that has grown beyond this is set aside as `<log>.1` when its service starts again. */
const ROTATE_BYTES = 10 * 1024 * 1024;
/** How many bytes at a log's end are read for its last lines. */
const TAIL_BYTES = 1024 * 1024;

/** Open a log for a process to append to. `offset` is where its part begins. */
export function openLog(path: string): { readonly fd: number; readonly offset: number } {
  rotate(path);
  const fd = openSync(path, "a", 0o600);
  return { fd, offset: fstatSync(fd).size };
}

/** Set a log aside that has grown too large; the one set aside before is replaced. */
export function rotate(path: string): void {
  if (sizeOf(path) > ROTATE_BYTES) renameSync(path, `${path}.1`);
}

/** A log's text from an offset on; empty if there is none. */
export function readFrom(path: string, offset: number): string {
  const size = sizeOf(path);
  if (size <= offset) return "";
  const bytes = Buffer.alloc(size - offset);
  const fd = openSync(path, "r");
  try {
    return bytes.toString("utf8", 0, readSync(fd, bytes, 0, bytes.length, offset));
  } finally {
    closeSync(fd);
  }
}

/** The last lines of a log, after an offset. */
export function lastLines(path: string, count: number, offset = 0): string[] {
  const from = Math.max(offset, sizeOf(path) - TAIL_BYTES);
  return readFrom(path, from).split("\n").filter(Boolean).slice(-count);
}

/** Bytes of a log; 0 if there is none. */
export function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}

/** The address that a service announces in its log after `offset`: the first JSON line with `url` or `address`. */
export function announcedAddress(path: string, offset: number): string | undefined {
  for (const line of readFrom(path, offset).split("\n")) {
    const fields = parseObject(line);
    const address = fields?.["url"] ?? fields?.["address"];
    if (typeof address === "string") return address;
  }
  return undefined;
}

/** A file's text without the white space around it, or `undefined` if it can't be read. */
export function readText(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return undefined;
  }
}
