import type { LeftOuts } from "../fs/left-out.ts";

/** What was counted of a patch. */
export interface DiffSummary {
  /** Files that differ; a renamed one is one. */
  readonly files: number;
  /** Bytes of the whole patch. */
  readonly bytes: number;
  /** The patch is longer than was asked for; what was sent is cut. */
  readonly truncated: boolean;
  /** What was changed and is not in the patch. */
  readonly leftOut: LeftOuts;
}

/** How git begins a file's part of a patch. No other line of a patch can begin so: they begin with a space, `+`, `-`, `\`, or hold no space. */
const HEADER = "diff --git ";

/** Counts a patch that comes in pieces, and tells which part of each is within the limit. */
export class CountedPatch {
  readonly #limit: number;
  #files = 0;
  #bytes = 0;
  /** The end of what was seen, as far as a header that is cut in two needs it; at first the start of a line. */
  #tail = "\n";
  readonly #decoder = new TextDecoder("utf-8", { fatal: true });
  #isText = true;

  constructor(limit: number) {
    this.#limit = limit;
  }

  add(chunk: Buffer): Buffer {
    this.#isText &&= this.#decodes(chunk);
    const text = this.#tail + chunk.toString("latin1");
    const header = `\n${HEADER}`;
    for (let at = text.indexOf(header); at !== -1; at = text.indexOf(header, at + header.length)) this.#files += 1;
    this.#tail = text.slice(-(header.length - 1));
    const kept = chunk.subarray(0, Math.max(0, this.#limit - this.#bytes));
    this.#bytes += chunk.length;
    return kept;
  }

  /** All of it so far is UTF-8. */
  get isText(): boolean {
    return this.#isText;
  }

  get summary(): Omit<DiffSummary, "leftOut"> {
    return { files: this.#files, bytes: this.#bytes, truncated: this.#bytes > this.#limit };
  }

  #decodes(chunk: Buffer): boolean {
    try {
      this.#decoder.decode(chunk, { stream: true });
      return true;
    } catch {
      // The decoder says no more than that.
      return false;
    }
  }
}
