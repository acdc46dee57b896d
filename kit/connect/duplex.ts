import type { Http2Stream } from "node:http2";
import { create, type DescMessage, type MessageInitShape, type MessageShape, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { envelopeHeader } from "./envelope.ts";

/** Messages, and bytes of them, that may wait for their reader before no more is read from the connection. */
const MAX_WAITING = 64;
const MAX_WAITING_BYTES = 4 * 1024 * 1024;

/** What came over a stream and waits to be taken. One reader. */
export class Inbox<T> implements AsyncIterable<T> {
  readonly #stream: Http2Stream;
  readonly #signal: AbortSignal | undefined;
  readonly #waiting: T[] = [];
  #waitingBytes = 0;
  #news = Promise.withResolvers<void>();
  #isOver = false;
  #error: unknown;

  /** `signal`: once it aborts, what waits is not handed out any more. */
  constructor(stream: Http2Stream, signal?: AbortSignal) {
    this.#stream = stream;
    this.#signal = signal;
  }

  /** `bytes`: what the message holds, about. */
  push(message: T, bytes: number): void {
    this.#waiting.push(message);
    this.#waitingBytes += bytes;
    if (this.#waiting.length > MAX_WAITING || this.#waitingBytes > MAX_WAITING_BYTES) this.#stream.pause();
    this.#news.resolve();
  }

  /** Nothing comes any more; `error` is thrown to the reader after what waits. The first end counts. */
  end(error?: unknown): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#error = error;
    this.#news.resolve();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T> {
    for (;;) {
      const message = this.#waiting.shift();
      if (message !== undefined) {
        if (this.#signal?.aborted) throw ConnectError.from(this.#signal.reason, Code.Canceled);
        if (this.#waiting.length === 0) {
          this.#waitingBytes = 0;
          if (this.#stream.isPaused()) this.#stream.resume();
        }
        yield message;
      } else if (this.#isOver) {
        if (this.#error !== undefined) throw this.#error;
        return;
      } else {
        this.#news = Promise.withResolvers<void>();
        await this.#news.promise;
      }
    }
  }
}

/** Payloads up to this size are copied next to their neighbours, so that they go out in one frame. */
const SMALL_BYTES = 16 * 1024;

/** Writes envelopes to a stream. What is written at once goes out at once: one frame, and one wake-up of the other end. */
export class Outlet {
  readonly #stream: Http2Stream;
  #begin: (() => void) | undefined;
  #waiting: Uint8Array[] = [];
  #waitingBytes = 0;
  #isScheduled = false;

  /** `begin` is called before the first envelope. */
  constructor(stream: Http2Stream, begin?: () => void) {
    this.#stream = stream;
    this.#begin = begin;
  }

  /** One envelope, whose payload may come in parts. False if the other end does not follow: wait for {@link drained}. */
  write(flags: number, ...parts: readonly Uint8Array[]): boolean {
    this.#begin?.();
    this.#begin = undefined;
    const length = parts.reduce((sum, part) => sum + part.length, 0);
    this.#waiting.push(envelopeHeader(flags, length));
    if (length > SMALL_BYTES) {
      const last = parts.at(-1) ?? new Uint8Array();
      this.#waiting.push(...parts.slice(0, -1));
      this.flush();
      return this.#stream.write(last);
    }
    this.#waiting.push(...parts);
    this.#waitingBytes += length;
    if (this.#waitingBytes > SMALL_BYTES) this.flush();
    else if (!this.#isScheduled) {
      this.#isScheduled = true;
      // After all promises that are settled now, and so after all messages that are there.
      process.nextTick(() => this.flush());
    }
    return !this.#stream.writableNeedDrain;
  }

  /** Write what waits. */
  flush(): void {
    this.#isScheduled = false;
    if (this.#waiting.length === 0 || this.#stream.destroyed) return;
    this.#stream.write(Buffer.concat(this.#waiting));
    this.#waiting = [];
    this.#waitingBytes = 0;
  }

  /** Until there is room to write, or there never will be. */
  drained(): Promise<void> {
    const stream = this.#stream;
    if (stream.destroyed || !stream.writableNeedDrain) return Promise.resolve();
    return new Promise((resolve) => {
      const done = (): void => {
        stream.off("drain", done);
        stream.off("close", done);
        resolve();
      };
      stream.once("drain", done);
      stream.once("close", done);
    });
  }

  /** Write what waits, then the stream's end. */
  end(): void {
    this.flush();
    this.#stream.end();
  }
}

/** Writes a message down in its own way, in parts that are not copied; `undefined` leaves it to the general one. */
export type Encoder = (message: object) => readonly Uint8Array[] | undefined;

/** Write messages in the order in which they come, as fast as the other end takes them; resolves when there are no more. */
export async function sendAll<Desc extends DescMessage>(
  stream: Http2Stream,
  outlet: Outlet,
  schema: Desc,
  messages: AsyncIterable<MessageInitShape<Desc>>,
  encoder?: Encoder,
): Promise<void> {
  for await (const message of messages) {
    if (stream.destroyed || stream.writableEnded) return;
    const parts = encoder?.(message) ?? [toBinary(schema, create(schema, message) as MessageShape<Desc>)];
    if (!outlet.write(0, ...parts)) await outlet.drained();
  }
}
