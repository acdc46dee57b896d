import type { MessageInitShape } from "@bufbuild/protobuf";
import type { GrepLineSchema } from "@serverless-harness/proto/hands";
import type { FileMatches } from "./line-query.ts";
import { readLines } from "./line-reader.ts";

/** A line of an answer. */
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
