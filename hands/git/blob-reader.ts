import type { Readable } from "node:stream";
import type { Git } from "./git.ts";

/** A blob on its way out of a repository: all of its content has to be read before the next one comes. */
export interface OutgoingBlob {
  readonly oid: string;
  readonly size: number;
  readonly content: AsyncIterable<Buffer>;
}

/** Read blobs one after the other, in the order of their ids, by one process. Throws a GitFailure, also where one is missing. */
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
      let left = Number(size);
      yield {
        oid,
        size: left,
        content: (async function* () {
          while (left > 0) {
            const chunk = await input.upTo(left);
            left -= chunk.length;
            yield chunk;
          }
        })(),
      };
      if (left > 0) throw new Error("a file's content was not read to its end");
      await input.line();
    }
  } finally {
    running.kill();
  }
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

  async #next(): Promise<Buffer> {
    const next = await this.#chunks.next();
    if (next.done === true) throw new Error("git ended in the middle of a file");
    return next.value;
  }
}
