import { setImmediate } from "node:timers/promises";
import { mergePieces } from "./event-merger.ts";

/** Why an answer's stream was broken off here. */
export type BrokenOff =
  /** Nothing came for this long, in milliseconds. */
  | { readonly silentMs: number }
  /** It is larger than this, in bytes. */
  | { readonly overBytes: number };

/** Bounds of one answer as it arrives. */
export interface AnswerBounds {
  /** Longest silence, before the answer and in it, in milliseconds. */
  readonly silenceMs: number;
  /** Told once, if a bound was reached: the stream fails then. */
  readonly onBroken: (why: BrokenOff) => void;
}

/** Most of an answer, in bytes as it travels: real models write some 1 MiB at most, which takes up to five times as much in small pieces. */
export const MAX_ANSWER_BYTES = 16 * 1024 * 1024;
/** What the reader gets at once, in bytes. */
const PIECE_BYTES = 4 * 1024;

/** Fetch, failing if no response comes for that long. */
export async function fetchWithin(fetch: typeof globalThis.fetch, bounds: AnswerBounds, ...[input, init]: Parameters<typeof fetch>) {
  const stop = new AbortController();
  const timer = setTimeout(() => {
    bounds.onBroken({ silentMs: bounds.silenceMs });
    stop.abort(new Error("no answer came"));
  }, bounds.silenceMs);
  const signal = init?.signal == null ? stop.signal : AbortSignal.any([init.signal, stop.signal]);
  try {
    return await fetch(input, { ...init, signal });
  } finally {
    clearTimeout(timer);
  }
}

/**
 * The response, with a body that fails if its bounds are reached. It is handed on in small pieces with a turn of the loop between, since readers work through
 * all that they get without one: however much a model sends, the process's other leaves go on meanwhile.
 */
export function bounded(response: Response, bounds: AnswerBounds): Response {
  if (!response.ok || response.body === null) return response;
  const { status, statusText, headers } = response;
  const reader = response.body.getReader();
  const chunks = chunksOf(reader, bounds);
  const isStream = headers.get("content-type")?.startsWith("text/event-stream") === true;
  const pieces = inPieces(isStream ? mergePieces(chunks) : chunks);
  const body = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const { value, done } = await pieces.next();
        if (done === true) controller.close();
        else controller.enqueue(value);
      },
      cancel: (reason) => reader.cancel(reason),
    },
    { highWaterMark: 0 },
  );
  return new Response(body, { status, statusText, headers });
}

async function* chunksOf(reader: ReadableStreamDefaultReader<Uint8Array>, { silenceMs, onBroken }: AnswerBounds) {
  let bytes = 0;
  const breakOff = (why: BrokenOff, message: string): never => {
    onBroken(why);
    reader.cancel().catch(() => undefined);
    throw new Error(message);
  };
  for (;;) {
    const next = await within(reader.read(), silenceMs);
    if (next === undefined) return breakOff({ silentMs: silenceMs }, "the stream went silent");
    if (next.done) return;
    bytes += next.value.length;
    if (bytes > MAX_ANSWER_BYTES) return breakOff({ overBytes: MAX_ANSWER_BYTES }, "the answer is too large");
    yield next.value;
  }
}

async function* inPieces(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const chunk of chunks) {
    for (let at = 0; at < chunk.length; at += PIECE_BYTES) {
      await setImmediate();
      yield chunk.subarray(at, at + PIECE_BYTES);
    }
  }
}

/** What the work brings; `undefined` if it takes too long. */
async function within<T>(work: Promise<T>, timeoutMs: number): Promise<T | undefined> {
  const { promise, resolve } = Promise.withResolvers<undefined>();
  const timer = setTimeout(resolve, timeoutMs, undefined);
  try {
    return await Promise.race([work, promise]);
  } finally {
    clearTimeout(timer);
  }
}
