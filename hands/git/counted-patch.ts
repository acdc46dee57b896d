/** What was counted of a patch. */
export interface DiffSummary {
  /** Files that differ; a renamed one is one. */
  readonly files: number;
  /** Bytes of the whole patch. */
  readonly bytes: number;
  /** The patch is longer than was asked for; what was sent is cut. */
  readonly truncated: boolean;
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

  constructor(limit: number) {
    this.#limit = limit;
  }

  add(chunk: Buffer): Buffer {
    const text = this.#tail + chunk.toString("latin1");
    const header = `\n${HEADER}`;
    for (let at = text.indexOf(header); at !== -1; at = text.indexOf(header, at + header.length)) this.#files += 1;
    this.#tail = text.slice(-(header.length - 1));
    const kept = chunk.subarray(0, Math.max(0, this.#limit - this.#bytes));
    this.#bytes += chunk.length;
    return kept;
  }

  get summary(): DiffSummary {
    return { files: this.#files, bytes: this.#bytes, truncated: this.#bytes > this.#limit };
  }
}
