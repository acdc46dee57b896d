import { constants } from "node:fs";
import { open } from "node:fs/promises";
import type { Handle } from "./handle.ts";

/** Characters of a line that are shown. */
const MAX_CHARS = 500;
/** Bytes that hold so many characters at least. */
const MAX_BYTES = 4 * MAX_CHARS;
const CHUNK_BYTES = 64 * 1024;
const NEWLINE = 10;

/**
 * The wanted lines of a file, by number from 1, without their line endings, cut to 500 characters. `undefined` for a binary file: one
 * with a zero byte before the end of what is read.
 */
export async function readLines(file: Handle, wanted: ReadonlySet<number>): Promise<Map<number, string> | undefined> {
  const last = Math.max(0, ...wanted);
  const lines = new Map<number, Buffer>();
  await using handle = await open(file.path, constants.O_RDONLY | constants.O_NONBLOCK);
  const buffer = Buffer.allocUnsafe(CHUNK_BYTES);
  let number = 1;
  for (;;) {
    const { bytesRead } = await handle.read(buffer, 0, CHUNK_BYTES);
    const chunk = buffer.subarray(0, bytesRead);
    if (chunk.includes(0)) return undefined;
    for (let start = 0; start < bytesRead; ) {
      const newline = chunk.indexOf(NEWLINE, start);
      const end = newline === -1 ? bytesRead : newline;
      if (wanted.has(number)) lines.set(number, extend(lines.get(number), chunk.subarray(start, end)));
      if (newline === -1) break;
      number += 1;
      start = newline + 1;
    }
    if (bytesRead === 0 || number > last) break;
  }
  return new Map([...lines].map(([at, bytes]) => [at, toText(bytes)]));
}

function extend(line: Buffer | undefined, more: Buffer): Buffer {
  const room = MAX_BYTES + 1 - (line?.length ?? 0);
  return Buffer.concat([line ?? Buffer.alloc(0), more.subarray(0, Math.max(0, room))]);
}

/** Invalid UTF-8 becomes replacement characters. */
function toText(bytes: Buffer): string {
  const text = bytes.toString("utf8");
  const line = text.endsWith("\r") ? text.slice(0, -1) : text;
  return line.length <= MAX_CHARS ? line : [...line].slice(0, MAX_CHARS).join("");
}
