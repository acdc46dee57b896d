import * as http2 from "node:http2";
import { Code } from "@connectrpc/connect";
import { HarnessError } from "../errors.ts";
import { refuseRpc } from "../handler.ts";
import type { Logger } from "../log.ts";
import type { PlainRequest, PlainResponse } from "../serve.ts";

/** A request over HTTP/2, and its response. */
export type Http2Request = Extract<PlainRequest, { stream: unknown }>;
export type Http2Response = Extract<PlainResponse, { stream: unknown }>;

/**
 * Hand a request on to another HTTP/2 connection, and what it answers back: headers, bodies and trailers as they come, at the pace of the
 * slower end. A caller that goes away breaks the call off at the callee. If the callee goes away, a call without an answer is UNAVAILABLE
 * `tunnel_lost`, and one in the middle of its answer is broken off.
 */
export function forward(
  session: http2.ClientHttp2Session,
  path: string,
  request: Http2Request,
  response: Http2Response,
  log: Logger,
): void {
  // Node's request and response objects can't tell a stream that broke from one that ended: the stream itself is asked.
  const { stream } = request;
  const onward = session.request({ ...request.headers, ":path": path }, { endStream: stream.endAfterHeaders });
  let isAnswered = false;
  let isOver = false;
  const end = (): void => {
    isOver = true;
    response.end();
  };
  onward.on("response", (headers, flags) => {
    isAnswered = true;
    const { ":status": status = 502, ...fields } = headers;
    response.statusCode = Number(status);
    for (const [name, value] of Object.entries(fields)) if (value !== undefined) response.setHeader(name, value);
    // Headers and end are one frame if nothing comes between them, as in gRPC's answers without a message.
    if (flags & http2.constants.NGHTTP2_FLAG_END_STREAM) return end();
    response.writeHead(Number(status));
    onward.on("data", (chunk: Buffer) => {
      if (!response.write(chunk)) onward.pause();
    });
    response.on("drain", () => onward.resume());
    onward.on("end", () => {
      if (isWhole(onward)) end();
    });
  });
  // They come before the end.
  onward.on("trailers", (trailers) => response.addTrailers(trailers));
  onward.on("error", (error) => log.debug({ err: error, path }, "a call that was handed on broke"));
  onward.on("close", () => {
    if (stream.destroyed) return;
    if (!isAnswered) return void refuseRpc(request, response, tunnelLost(), log);
    if (!isOver) stream.destroy(new Error("the connection on which the call was handed on broke"));
  });
  stream.on("error", (error) => log.debug({ err: error, path }, "a caller of a call that was handed on broke off"));
  stream.on("close", () => {
    if (!onward.closed) breakOff(onward);
  });
  if (stream.endAfterHeaders) return;
  stream.pipe(onward, { end: false });
  stream.on("end", () => (isWhole(stream) ? onward.end() : breakOff(onward)));
}

/**
 * Of a stream that has ended: its other side ended it. Node ends one too that was reset, and one whose connection was closed: in order, as
 * by a server that shuts down, it destroys the stream without an error.
 */
function isWhole(stream: http2.Http2Stream): boolean {
  return !stream.destroyed && !stream.aborted && (stream.rstCode ?? 0) === http2.constants.NGHTTP2_NO_ERROR;
}

/** By `destroy`, as `close` sends the end of the request in front of the reset: half a file would look like a whole one. */
function breakOff(onward: http2.ClientHttp2Stream): void {
  onward.destroy(new Error("the caller broke off"));
}

function tunnelLost(): HarnessError {
  return new HarnessError(Code.Unavailable, "tunnel_lost", "the connection to the server broke: it may have taken the call all the same");
}
