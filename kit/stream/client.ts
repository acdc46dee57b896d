import type { ClientHttp2Stream, IncomingHttpHeaders } from "node:http2";
import { constants } from "node:http2";
import { type DescMessage, type DescMethodBiDiStreaming, fromBinary, type MessageInitShape, type MessageShape } from "@bufbuild/protobuf";
import { Code, ConnectError, type StreamResponse } from "@connectrpc/connect";
import { endStreamFromJson, validateResponse } from "@connectrpc/connect/protocol-connect";
import type { Connection } from "../connection.ts";
import { Inbox, Outlet, sendAll } from "./duplex.ts";
import { END_FLAG, EnvelopeReader } from "./envelope.ts";
import { STREAM_TYPE } from "./server.ts";

/** A call of a bidirectional stream. */
export interface StreamCall<I extends DescMessage, O extends DescMessage> {
  readonly method: DescMethodBiDiStreaming<I, O>;
  readonly signal: AbortSignal | undefined;
  readonly header: Headers;
  readonly input: AsyncIterable<MessageInitShape<I>>;
  /** Largest message that is read. */
  readonly readMaxBytes: number;
}

/**
 * Call a bidirectional stream by Connect's protocol without connect-node's pipeline, see {@link serveStream}. Rejects, or throws from the
 * messages, ConnectErrors: `unavailable` where the connection broke.
 */
export async function callStream<I extends DescMessage, O extends DescMessage>(
  connection: Connection,
  call: StreamCall<I, O>,
): Promise<StreamResponse<I, O>> {
  const { method, signal } = call;
  if (signal?.aborted) throw canceled(signal);
  const headers = { ...Object.fromEntries(call.header), "content-type": STREAM_TYPE, "connect-protocol-version": "1" };
  const stream = await connection.request("POST", `/${method.parent.typeName}/${method.name}`, headers, {});
  const abort = (): void => stream.close(constants.NGHTTP2_CANCEL);
  if (signal?.aborted) abort();
  signal?.addEventListener("abort", abort, { once: true });
  stream.once("close", () => signal?.removeEventListener("abort", abort));
  const inbox = new Inbox<MessageShape<O>>(stream);
  const trailer = new Headers();
  receive(stream, inbox, trailer, call);
  const answered = responseOf(stream, call);
  send(stream, inbox, call);
  return { stream: true, service: method.parent, method, header: await answered, trailer, message: inbox };
}

function send<I extends DescMessage, O extends DescMessage>(
  stream: ClientHttp2Stream,
  inbox: Inbox<MessageShape<O>>,
  { method, input }: StreamCall<I, O>,
): void {
  const outlet = new Outlet(stream);
  sendAll(stream, outlet, method.input, input).then(
    () => outlet.end(),
    (error: unknown) => {
      inbox.end(ConnectError.from(error, Code.Internal));
      stream.close(constants.NGHTTP2_CANCEL);
    },
  );
}

/** The response's header, once it is there and right. */
function responseOf<I extends DescMessage, O extends DescMessage>(
  stream: ClientHttp2Stream,
  { method, signal }: StreamCall<I, O>,
): Promise<Headers> {
  return new Promise((resolve, reject) => {
    stream.once("response", (incoming) => {
      try {
        const header = readHeaders(incoming);
        validateResponse(method.methodKind, true, incoming[":status"] ?? 0, header);
        resolve(header);
      } catch (error) {
        stream.close(constants.NGHTTP2_CANCEL);
        reject(error);
      }
    });
    stream.once("close", () => reject(broken(stream, signal)));
  });
}

function receive<I extends DescMessage, O extends DescMessage>(
  stream: ClientHttp2Stream,
  inbox: Inbox<MessageShape<O>>,
  trailer: Headers,
  { method, signal, readMaxBytes }: StreamCall<I, O>,
): void {
  const reader = new EnvelopeReader(readMaxBytes);
  stream.on("data", (chunk: Buffer) => {
    try {
      for (const { flags, data } of reader.push(chunk)) {
        if (flags === 0) inbox.push(fromBinary(method.output, data));
        else if (flags === END_FLAG) inbox.end(takeEnd(data, trailer));
        else throw new ConnectError(`an envelope with flags ${flags} is no message`, Code.Internal);
      }
    } catch (error) {
      inbox.end(ConnectError.from(error, Code.Internal));
      stream.close(constants.NGHTTP2_CANCEL);
    }
  });
  // The end that counts is in the last envelope; a stream that is over without one was cut.
  stream.on("error", () => undefined);
  stream.once("close", () => inbox.end(broken(stream, signal)));
}

function takeEnd(data: Uint8Array, trailer: Headers): ConnectError | undefined {
  const { metadata, error } = endStreamFromJson(data);
  for (const [name, value] of metadata) trailer.append(name, value);
  return error;
}

function broken(stream: ClientHttp2Stream, signal: AbortSignal | undefined): ConnectError {
  if (signal?.aborted) return canceled(signal);
  const { errored } = stream;
  if (errored instanceof ConnectError) return errored;
  const why = errored instanceof Error ? `: ${errored.message}` : "";
  return new ConnectError(`the connection broke in the middle of a call${why}`, Code.Unavailable, undefined, undefined, errored);
}

function canceled(signal: AbortSignal): ConnectError {
  return ConnectError.from(signal.reason, Code.Canceled);
}

function readHeaders(incoming: IncomingHttpHeaders): Headers {
  const headers = new Headers();
  for (const [name, value] of Object.entries(incoming)) {
    if (name.startsWith(":") || value === undefined) continue;
    for (const one of Array.isArray(value) ? value : [value]) headers.append(name, one);
  }
  return headers;
}
