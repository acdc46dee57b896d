import { Stream } from "@serverless-harness/proto/hands";

/** A piece of output: bytes of one stream, and where they stand in the exec's output. */
export interface Chunk {
  readonly offset: number;
  readonly stream: Stream;
  readonly data: Buffer;
}

/**
 * Which bytes of a file of mixed output belong to which stream: the lengths of its runs, alternately of stdout and stderr,
 * beginning with stdout. The last run is open: it reaches to the end of the file.
 */
export class Runs {
  /** Where each closed run ends. */
  readonly #ends: number[] = [];
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** Runs that are closed. */
  get closed(): number {
    return this.#ends.length;
  }

  /** Take up bytes of a stream. Returns what has to be appended to the index file before they are written: often nothing. */
  add(stream: Stream, bytes: number): Buffer | undefined {
    let index: Buffer | undefined;
    if (stream !== this.#open()) {
      index = varint(this.#length - (this.#ends.at(-1) ?? 0));
      this.#ends.push(this.#length);
    }
    this.#length += bytes;
    return index;
  }

  /** Read an index file back. `length`: bytes that the output file really holds; a crash may have left fewer than indexed. */
  static decode(index: Buffer, length: number): Runs {
    const runs = new Runs();
    for (let at = 0, end = 0; at < index.length; ) {
      let value = 0;
      let factor = 1;
      let byte = 128;
      for (; byte >= 128 && at < index.length; at++, factor *= 128) {
        byte = index[at] ?? 0;
        value += (byte & 127) * factor;
      }
      // A torn number at the end: its run is the open one.
      if (byte >= 128) break;
      end += value;
      runs.#ends.push(Math.min(end, length));
    }
    runs.#length = length;
    return runs;
  }

  /** Cut `data`, which begins at byte `position` of the file, into chunks of one stream each. `offset`: of its first byte. */
  cut(data: Buffer, position: number, offset: number): Chunk[] {
    const chunks: Chunk[] = [];
    let run = this.#runAt(position);
    for (let at = 0; at < data.length; run++) {
      const end = Math.min((this.#ends[run] ?? Number.POSITIVE_INFINITY) - position, data.length);
      if (end <= at) continue;
      chunks.push({ offset: offset + at, stream: streamOfRun(run), data: data.subarray(at, end) });
      at = end;
    }
    return chunks;
  }

  #open(): Stream {
    return streamOfRun(this.#ends.length);
  }

  /** Number of the first run that ends after `position`. */
  #runAt(position: number): number {
    let low = 0;
    let high = this.#ends.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#ends[middle] ?? 0) <= position) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function streamOfRun(run: number): Stream {
  return run % 2 === 0 ? Stream.STDOUT : Stream.STDERR;
}

/** Seven bits a byte, low ones first, the high bit set on all but the last. */
function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128);
  bytes.push(rest);
  return Buffer.from(bytes);
}
