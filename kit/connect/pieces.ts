/** Pieces after the last merge that are still worth a merge, and how many of them there may be. */
const SMALL_BYTES = 4096;
const MAX_SMALL = 256;

/**
 * Collects chunks. Small ones are merged now and then: a client that sends a message of 4 MiB byte by byte would otherwise make us hold four million
 * objects, and the network's buffers behind them.
 */
export class Pieces {
  #pieces: Uint8Array[] = [];
  #size = 0;
  /** Pieces at the end that may be merged, and their size. */
  #small = 0;
  #smallBytes = 0;

  /** Bytes of all. */
  get size(): number {
    return this.#size;
  }

  /** Pieces that are held. */
  get count(): number {
    return this.#pieces.length;
  }

  push(piece: Uint8Array): void {
    this.#pieces.push(piece);
    this.#size += piece.length;
    if (piece.length > SMALL_BYTES) this.#begin();
    else {
      this.#small++;
      this.#smallBytes += piece.length;
      if (this.#small >= MAX_SMALL) this.#merge();
    }
  }

  clear(): void {
    this.#pieces = [];
    this.#size = 0;
    this.#begin();
  }

  /** All of them in one piece, not as Node's Buffer: messages hand out parts of them, and a Buffer's methods differ. */
  joined(): Uint8Array {
    const [first] = this.#pieces;
    const bytes = this.#pieces.length === 1 && first !== undefined ? first : Buffer.concat(this.#pieces, this.#size);
    return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  #merge(): void {
    const small = this.#pieces.splice(-this.#small);
    this.#pieces.push(Buffer.concat(small, this.#smallBytes));
    this.#begin();
  }

  #begin(): void {
    this.#small = 0;
    this.#smallBytes = 0;
  }
}
