import { once } from "node:events";
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { type Answer, answerTo } from "./answer.ts";
import { ApiError } from "./api-error.ts";
import type { Dialect } from "./dialect.ts";
import { type ApiMessage, toMessage } from "./message.ts";
import type { RequestRecord } from "./request-log.ts";

/** Largest request body in bytes, as the API has it. */
const MAX_BODY_BYTES = 32 * 1024 * 1024;

/** The one key that is refused, so that this failure can be tried out. */
const BAD_KEY = "bad-key";

/** Transcripts whose failures are counted; the oldest are forgotten. */
const MAX_COUNTED = 10_000;

/**
 * Counts how often a scripted failure was given for one transcript. A failure leaves no trace in the transcript, so this
 * is the only thing that the server keeps between requests which changes an answer.
 */
export class FailureCount {
  readonly #given = new Map<string, number>();

  /** Whether to fail once more; counts it. `key`: the transcript and the kind of failure. */
  take(key: string, times: number): boolean {
    const given = this.#given.get(key) ?? 0;
    if (given >= times) return false;
    this.#given.delete(key);
    this.#given.set(key, given + 1);
    const oldest = this.#given.keys().next();
    if (this.#given.size > MAX_COUNTED && oldest.done !== true) this.#given.delete(oldest.value);
    return true;
  }
}

/** Answer a request of one of the APIs. Until something was sent, it throws an ApiError. */
export async function respond(
  dialect: Dialect,
  incoming: IncomingMessage,
  response: ServerResponse,
  record: RequestRecord,
  failures: FailureCount,
): Promise<void> {
  const gone = new AbortController();
  response.on("close", () => {
    record.status = response.headersSent ? response.statusCode : 0;
    if (record.outcome === "open") record.outcome = response.writableFinished ? "complete" : "client_gone";
    gone.abort();
  });
  checkKey(incoming.headers);
  const request = dialect.read(await readBody(incoming));
  const { model, stream, thinkingTokens: thinking, transcript, inputTokens } = request;
  Object.assign(record, { model, messages: transcript.messages.length, stream, thinking });
  const answer = await answerTo(transcript, request.toolNames);
  record.step = answer.step;
  if (inputTokens > answer.window) throw new ApiError(400, `prompt is too long: ${inputTokens} tokens > ${answer.window} maximum`);
  try {
    if (answer.delayMs > 0) await sleep(answer.delayMs, undefined, { signal: gone.signal });
    if (failures.take(`hold ${transcript.hash}`, answer.hold ?? 0)) return void (await once(gone.signal, "abort"));
    if (failures.take(`fail ${transcript.hash}`, answer.fail?.times ?? 0)) throw scriptedFailure(answer);
    const cut = failures.take(`cut ${transcript.hash}`, answer.cut?.times ?? 0) ? answer.cut : undefined;
    const message = toMessage(answer, transcript, model, inputTokens);
    const complete = stream
      ? await sendPieces(dialect, response, message, answer, cut?.afterChunks ?? Number.POSITIVE_INFINITY, gone.signal)
      : sendWhole(response, dialect.whole(message), cut !== undefined);
    if (complete) return;
    record.outcome = "cut";
    // What was written so far must reach the client: only the rest is missing.
    if (response.headersSent) await new Promise((resolve) => response.write(": cut\n\n", resolve));
    response.destroy();
  } catch (error) {
    if (!gone.signal.aborted) throw error;
  }
}

/** Throw a 401 if no key was sent, or the bad one. */
function checkKey(headers: IncomingHttpHeaders): void {
  const bearer = /^Bearer (.+)$/i.exec(headers.authorization ?? "")?.[1];
  const key = headers["x-api-key"] ?? bearer;
  if (key === undefined || key === "") throw new ApiError(401, "x-api-key header is required");
  if (key === BAD_KEY || bearer === BAD_KEY) throw new ApiError(401, "invalid x-api-key");
}

/** Read a request's body. If it is too large, throws a 413 and discards the rest. */
async function readBody(request: IncomingMessage): Promise<string> {
  const tooLarge = new ApiError(413, `Request exceeds the maximum size of ${MAX_BODY_BYTES} bytes`);
  if (Number(request.headers["content-length"] ?? 0) > MAX_BODY_BYTES) throw tooLarge;
  const chunks: Buffer[] = [];
  let bytes = 0;
  return await new Promise<string>((resolve, reject) => {
    request.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes <= MAX_BODY_BYTES) chunks.push(chunk);
      else {
        chunks.length = 0;
        reject(tooLarge);
      }
    });
    request.on("end", () => resolve(Buffer.concat(chunks).toString("utf8")));
    request.on("error", () => reject(new ApiError(400, "the request broke off")));
  });
}

function scriptedFailure({ fail }: Answer): ApiError {
  const status = fail?.status ?? 500;
  return new ApiError(status, fail?.message ?? `failure ${status}, as the script asks for`, {
    type: fail?.type,
    retryAfter: fail?.retryAfter,
  });
}

function sendWhole(response: ServerResponse, message: unknown, cut: boolean): boolean {
  if (cut) return false;
  response.writeHead(200, { "content-type": "application/json", "request-id": "req_scripted" });
  response.end(JSON.stringify(message));
  return true;
}

/** Stream the message; false if it stopped after `afterChunks` pieces. Throws if the client has gone. */
async function sendPieces(
  dialect: Dialect,
  response: ServerResponse,
  message: ApiMessage,
  { chunkChars, chunkDelayMs }: Answer,
  afterChunks: number,
  gone: AbortSignal,
): Promise<boolean> {
  response.writeHead(200, {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache",
    "request-id": "req_scripted",
  });
  let chunks = 0;
  for (const { text, kind } of dialect.frames(message, chunkChars)) {
    // An answer with fewer pieces is cut as well: it never gets its end.
    if (kind === "end" && afterChunks !== Number.POSITIVE_INFINITY) return false;
    if (kind === "piece") {
      if (chunks >= afterChunks) return false;
      if (chunkDelayMs > 0 && chunks > 0) await sleep(chunkDelayMs, undefined, { signal: gone });
      chunks++;
    }
    if (!response.write(text)) await once(response, "drain", { signal: gone });
  }
  response.end();
  return true;
}
