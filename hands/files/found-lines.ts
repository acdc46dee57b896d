import { constants } from "node:fs";
import { open } from "node:fs/promises";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Handle } from "@serverless-harness/kit/paths/handle";
import type { GrepLineSchema } from "@serverless-harness/proto/hands";
import type { FileMatches } from "./line-query.ts";

export type Line = MessageInitShape<typeof GrepLineSchema>;

/** As many binary files are named. */
const MAX_BINARY = 100;

/** Characters of an answer, beyond which it is truncated whatever the limit. */
const MAX_TOTAL_CHARS = 4 * 1024 * 1024;

/** Gathers the lines of a search, up to its limit. */
export class FoundLines {
  readonly lines: Line[] = [];
  /** Binary files that match, at most {@link MAX_BINARY}; none of their lines is shown. */
  readonly binary: string[] = [];
  /** There is more than the limit allows. */
  truncated = false;
  readonly #context: number;
  #room: number;
  #chars = 0;

  constructor(limit: number, contextLines: number) {
    this.#room = limit;
    this.#context = contextLines;
  }

  /** Add the matching lines of a file (ascending), with their context. One that is binary is only named. */
  async add({ file, lines: matching }: FileMatches): Promise<void> {
    const shown = new Map(matching.slice(0, this.#room).map(({ number, offset }) => [number, offset]));
    const beyond = matching[this.#room]?.number;
    const wanted = this.#withContext(shown, beyond);
    // What is beyond the limit is only looked at to know that it is there.
    if (beyond !== undefined) wanted.set(beyond, 0);
    const texts = await readLines(file.handle, wanted);
    if (texts === undefined) {
      if (this.binary.length < MAX_BINARY) this.binary.push(file.shown);
      return;
    }
    for (const number of [...texts.keys()].sort((a, b) => a - b)) {
      if (number === beyond || this.#chars > MAX_TOTAL_CHARS) {
        this.truncated = true;
        return;
      }
      const text = texts.get(number) ?? "";
      this.#chars += text.length;
      if (shown.has(number)) this.#room -= 1;
      this.lines.push({ path: file.shown, line: BigInt(number), text, match: shown.has(number) });
    }
  }

  /** Lines to read, each with the byte that must be shown. */
  #withContext(matching: ReadonlyMap<number, number>, beyond: number = Number.POSITIVE_INFINITY): Map<number, number> {
    const wanted = new Map<number, number>();
    for (const line of matching.keys()) {
      for (let number = Math.max(1, line - this.#context); number <= line + this.#context && number < beyond; number++)
        wanted.set(number, matching.get(number) ?? 0);
    }
    return wanted;
  }
}

const MAX_CHARS = 500;
/** Bytes that hold at least this many characters. */
const MAX_BYTES = 4 * MAX_CHARS;
/** A line is shown from its start if what has to be shown lies before this byte, otherwise from LEAD_BYTES before it. */
const FROM_START = 400;
const LEAD_BYTES = 100;
/** Stands for what is left out at the start of a line. */
const CUT = "…";
const CHUNK_BYTES = 64 * 1024;
const NEWLINE = 10;

/**
 * The wanted lines of a file, by number from 1, without their line endings, cut to 500 characters around the byte
 * that is given for each. `undefined` for a binary file: one with a zero byte before the end of what is read.
 */
async function readLines(file: Handle, wanted: ReadonlyMap<number, number>): Promise<Map<number, string> | undefined> {
  const last = Math.max(0, ...wanted.keys());
  const lines = new Map<number, Buffer>();
  await using handle = await open(file.path, constants.O_RDONLY | constants.O_NONBLOCK);
  const buffer = Buffer.allocUnsafe(CHUNK_BYTES);
  let number = 1;
  /** Bytes of the line that were read before this chunk. */
  let before = 0;
  for (;;) {
    const { bytesRead } = await handle.read(buffer, 0, CHUNK_BYTES);
    const chunk = buffer.subarray(0, bytesRead);
    if (chunk.includes(0)) return undefined;
    for (let start = 0; start < bytesRead; ) {
      const newline = chunk.indexOf(NEWLINE, start);
      const end = newline === -1 ? bytesRead : newline;
      const needed = wanted.get(number);
      if (needed !== undefined) {
        const skipped = Math.max(0, startOfView(needed) - before);
        lines.set(number, extend(lines.get(number), chunk.subarray(Math.min(start + skipped, end), end)));
      }
      before += end - start;
      if (newline === -1) break;
      before = 0;
      number += 1;
      start = newline + 1;
    }
    if (bytesRead === 0 || number > last) break;
  }
  return new Map([...lines].map(([at, bytes]) => [at, toText(bytes, startOfView(wanted.get(at) ?? 0) > 0)]));
}

/** The first byte of a line that is shown, so that another one is among those. */
function startOfView(needed: number): number {
  return needed < FROM_START ? 0 : needed - LEAD_BYTES;
}

function extend(line: Buffer | undefined, more: Buffer): Buffer {
  const room = MAX_BYTES + 1 - (line?.length ?? 0);
  return Buffer.concat([line ?? Buffer.alloc(0), more.subarray(0, Math.max(0, room))]);
}

/** Invalid UTF-8 becomes replacement characters. `isCut`: the start of the line is missing, perhaps the start of a character too. */
function toText(bytes: Buffer, isCut: boolean): string {
  const first = isCut
    ? Math.max(
        0,
        bytes.findIndex((byte) => (byte & 0xc0) !== 0x80),
      )
    : 0;
  const text = (isCut ? CUT : "") + bytes.toString("utf8", first);
  const line = text.endsWith("\r") ? text.slice(0, -1) : text;
  return line.length <= MAX_CHARS ? line : [...line].slice(0, MAX_CHARS).join("");
}
