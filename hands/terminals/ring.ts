/** Pieces are joined up to this size, so that a terminal that is typed into for hours has few of them. */
const PIECE_BYTES = 4096;

interface Piece {
  /** Offset of its first byte. */
  readonly offset: number;
  readonly data: Buffer;
}

/** The last bytes of a terminal's output, numbered by offset. */
export class OutputRing {
  readonly #limit: number;
  #pieces: Piece[] = [];
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
    return this.#pieces[0]?.offset ?? this.#total;
  }

  push(data: Buffer): void {
    const last = this.#pieces.at(-1);
    if (last !== undefined && last.data.length + data.length <= PIECE_BYTES) {
      // A new buffer: watchers may hold parts of the old one.
      this.#pieces[this.#pieces.length - 1] = { offset: last.offset, data: Buffer.concat([last.data, data]) };
    } else this.#pieces.push({ offset: this.#total, data });
    this.#total += data.length;
    if (this.#total - this.first <= 2 * this.#limit) return;
    const kept = this.snapshot();
    // A copy, so that what is dropped is freed.
    this.#pieces = [{ offset: this.#total - this.#limit, data: Buffer.from(kept.subarray(kept.length - this.#limit)) }];
  }

  /** At most `length` bytes from `offset` on, which must be kept. Empty at the end. */
  read(offset: number, length: number): Buffer {
    // Most readers are at the end.
    const piece = this.#pieces.findLast((candidate) => candidate.offset <= offset);
    if (piece === undefined) return Buffer.alloc(0);
    const start = offset - piece.offset;
    return piece.data.subarray(start, start + length);
  }

  /** All that is kept. */
  snapshot(): Buffer {
    return Buffer.concat(this.#pieces.map(({ data }) => data));
  }
}
