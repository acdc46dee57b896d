import type { MessageInitShape } from "@bufbuild/protobuf";
import type { GrepLineSchema } from "@serverless-harness/proto/hands";
import type { FileMatches } from "./line-query.ts";
import { readLines } from "./line-reader.ts";

/** A line of an answer. */
export type Line = MessageInitShape<typeof GrepLineSchema>;

/** Characters of an answer, beyond which it is truncated whatever the limit. */
const MAX_TOTAL_CHARS = 4 * 1024 * 1024;

/** Gathers the lines of a search, up to its limit. */
export class FoundLines {
  readonly lines: Line[] = [];
  /** There is more than the limit allows. */
  truncated = false;
  readonly #context: number;
  #room: number;
  #chars = 0;

  constructor(limit: number, contextLines: number) {
    this.#room = limit;
    this.#context = contextLines;
  }

  /** Add the matching lines of a file (ascending), with their context. One that is binary adds nothing. */
  async add({ file, lines: matching }: FileMatches): Promise<void> {
    const shown = new Set(matching.slice(0, this.#room));
    const beyond = matching[this.#room];
    const wanted = this.#withContext(shown, beyond);
    // What is beyond the limit is only looked at to know that it is there.
    if (beyond !== undefined) wanted.add(beyond);
    const texts = await readLines(file.handle, wanted);
    if (texts === undefined) return;
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

  #withContext(matching: ReadonlySet<number>, beyond: number = Number.POSITIVE_INFINITY): Set<number> {
    const wanted = new Set<number>();
    for (const line of matching) {
      for (let number = Math.max(1, line - this.#context); number <= line + this.#context && number < beyond; number++) wanted.add(number);
    }
    return wanted;
  }
}
