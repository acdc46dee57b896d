/** The last bytes of a terminal's output, numbered by offset. */
export class OutputRing {
  readonly #limit: number;
  #chunks: Buffer[] = [];
  #size = 0;
  #total = 0;

  /** Keeps at least the last `limit` bytes, and at most twice as many. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Bytes written in all. */
  get total(): number {
    return this.#total;
  }

  /** Offset of the first byte that is still kept. */
  get first(): number {
    return this.#total - this.#size;
  }

  push(data: Buffer): void {
    this.#chunks.push(data);
    this.#size += data.length;
    this.#total += data.length;
    if (this.#size <= 2 * this.#limit) return;
    const kept = Buffer.concat(this.#chunks);
    // A copy, so that what is dropped is freed.
    this.#chunks = [Buffer.from(kept.subarray(kept.length - this.#limit))];
    this.#size = this.#limit;
  }

  /** At most `length` bytes from `offset` on, which must be kept. Empty at the end. */
  read(offset: number, length: number): Buffer {
    let skip = offset - this.first;
    for (const chunk of this.#chunks) {
      if (skip < chunk.length) return chunk.subarray(skip, skip + length);
      skip -= chunk.length;
    }
    return Buffer.alloc(0);
  }

  /** All that is kept. */
  snapshot(): Buffer {
    return Buffer.concat(this.#chunks);
  }
}
