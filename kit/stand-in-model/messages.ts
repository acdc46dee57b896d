import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { type Answer, answerTo } from "./answer.ts";
import { ApiError } from "./api-error.ts";
import { readBody } from "./body.ts";
import type { Dialect } from "./dialect.ts";
import type { FailureCount } from "./failures.ts";
import { type ApiMessage, toMessage } from "./message.ts";
import { checkKey } from "./request.ts";
import type { RequestRecord } from "./request-log.ts";

/** Answer a request of one of the APIs. Throws an ApiError as long as nothing was sent. */
export async function createMessage(
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
  Object.assign(record, {
    model: request.model,
    messages: request.transcript.messages.length,
    stream: request.stream,
    thinking: request.thinkingTokens,
  });
  const answer = await answerTo(request.transcript, request.toolNames);
  record.step = answer.step;
  if (request.inputTokens > answer.window)
    throw new ApiError(400, `prompt is too long: ${request.inputTokens} tokens > ${answer.window} maximum`);
  try {
    if (answer.delayMs > 0) await sleep(answer.delayMs, undefined, { signal: gone.signal });
    if (failures.take(`hold ${request.transcript.hash}`, answer.hold ?? 0)) return void (await once(gone.signal, "abort"));
    if (failures.take(`fail ${request.transcript.hash}`, answer.fail?.times ?? 0)) throw scriptedFailure(answer);
    const cut = failures.take(`cut ${request.transcript.hash}`, answer.cut?.times ?? 0) ? answer.cut : undefined;
    const message = toMessage(answer, request.transcript, request.model, request.inputTokens);
    const complete = request.stream
      ? await stream(dialect, response, message, answer, cut?.afterChunks ?? Number.POSITIVE_INFINITY, gone.signal)
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

/** Stream the message; false where it stopped behind `afterChunks` pieces. Throws where the client has gone. */
async function stream(
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
