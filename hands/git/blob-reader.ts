import type { Readable } from "node:stream";
import type { Git } from "./git.ts";

/**
 * A blob on its way out of a repository: as a whole if it is small, else in pieces, all of which have to be read
 * before the next blob comes.
 */
export interface OutgoingBlob {
  readonly size: number;
  readonly content: Buffer | AsyncIterable<Buffer>;
}

/** Up to this size a blob comes as a whole. */
const SMALL_BYTES = 1024 * 1024;

/** Read blobs one after the other, in the order of their ids, by one process. Throws a GitFailure, even if one is missing. */
export async function* readBlobs(git: Git, gitDir: string, oids: readonly string[], signal?: AbortSignal): AsyncGenerator<OutgoingBlob> {
  if (oids.length === 0) return;
  const running = git.start(["cat-file", "--batch", "--buffer"], {
    gitDir,
    timeoutMs: 30 * 60_000,
    ...(signal === undefined ? {} : { signal }),
  });
  try {
    running.stdin.end(`${oids.join("\n")}\n`);
    const input = new Input(running.stdout);
    for (const oid of oids) {
      const header = await input.line();
      const [, type, size] = header.split(" ");
      if (type !== "blob") throw new Error(`git has no file ${oid}: ${header}`);
      const bytes = Number(size);
      if (bytes <= SMALL_BYTES) {
        yield { size: bytes, content: await input.exactly(bytes) };
      } else {
        const pieces = new Pieces(input, bytes);
        yield { size: bytes, content: pieces };
        if (pieces.left > 0) throw new Error("a file's content was not read to its end");
      }
      await input.line();
    }
  } finally {
    running.kill();
  }
}

class Pieces implements AsyncIterable<Buffer> {
  left: number;
  readonly #input: Input;

  constructor(input: Input, bytes: number) {
    this.#input = input;
    this.left = bytes;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer> {
    while (this.left > 0) {
      const piece = await this.#input.upTo(this.left);
      this.left -= piece.length;
      yield piece;
    }
  }
}

/** All of a blob in one piece. */
export async function wholeOf({ content }: OutgoingBlob): Promise<Buffer> {
  if (Buffer.isBuffer(content)) return content;
  const pieces: Buffer[] = [];
  for await (const piece of content) pieces.push(piece);
  return Buffer.concat(pieces);
}

/** Reads lines and counted bytes off a stream. */
class Input {
  readonly #chunks: AsyncIterator<Buffer>;
  #buffer: Buffer = Buffer.alloc(0);

  constructor(stream: Readable) {
    this.#chunks = stream[Symbol.asyncIterator]();
  }

  async line(): Promise<string> {
    for (;;) {
      const end = this.#buffer.indexOf("\n");
      if (end !== -1) {
        const line = this.#buffer.toString("latin1", 0, end);
        this.#buffer = this.#buffer.subarray(end + 1);
        return line;
      }
      this.#buffer = Buffer.concat([this.#buffer, await this.#next()]);
    }
  }

  /** Some bytes, at least one. */
  async upTo(count: number): Promise<Buffer> {
    if (this.#buffer.length === 0) this.#buffer = await this.#next();
    const taken = this.#buffer.subarray(0, count);
    this.#buffer = this.#buffer.subarray(taken.length);
    return taken;
  }

  async exactly(count: number): Promise<Buffer> {
    if (this.#buffer.length >= count) {
      const whole = this.#buffer.subarray(0, count);
      this.#buffer = this.#buffer.subarray(count);
      return whole;
    }
    const pieces: Buffer[] = [];
    for (let left = count; left > 0; ) {
      const piece = await this.upTo(left);
      pieces.push(piece);
      left -= piece.length;
    }
    return Buffer.concat(pieces);
  }

  async #next(): Promise<Buffer> {
    const next = await this.#chunks.next();
    if (next.done === true) throw new Error("git ended in the middle of a file");
    return next.value;
  }
}
