import type { Http2ServerRequest, Http2ServerResponse, ServerHttp2Stream } from "node:http2";
import { type DescMessage, type DescMethodBiDiStreaming, fromBinary, type MessageShape } from "@bufbuild/protobuf";
import {
  Code,
  ConnectError,
  createContextValues,
  createHandlerContext,
  type HandlerContext,
  type Interceptor,
  type MethodImpl,
} from "@connectrpc/connect";
import { createEndStreamSerialization } from "@connectrpc/connect/protocol-connect";
import { type Encoder, Inbox, Outlet, sendAll } from "./duplex.ts";
import { END_FLAG, EnvelopeReader } from "./envelope.ts";

/** Content type of Connect's streams of binary messages. */
export const STREAM_TYPE = "application/connect+proto";

type BiDi = DescMethodBiDiStreaming<DescMessage, DescMessage>;

/** One RPC as it is served. */
export interface StreamHandlerOptions {
  readonly method: BiDi;
  readonly implementation: MethodImpl<BiDi>;
  readonly interceptors: readonly Interceptor[];
  /** Largest message that is read. */
  readonly readMaxBytes: number;
  /** Writes down what the method sends, where there is a better way than the general one. */
  readonly encoder?: Encoder | undefined;
}

const endStream = createEndStreamSerialization(undefined);

/** The request is of the kind that {@link serveStream} answers: HTTP/2, Connect, binary, uncompressed, without a deadline. */
export function isPlainStream(request: { readonly httpVersionMajor: number; readonly headers: Record<string, unknown> }): boolean {
  const { headers } = request;
  return (
    request.httpVersionMajor === 2 &&
    headers[":method"] === "POST" &&
    headers["content-type"] === STREAM_TYPE &&
    (headers["connect-content-encoding"] ?? "identity") === "identity" &&
    headers["connect-timeout-ms"] === undefined
  );
}

/**
 * Answer a bidirectional stream of Connect's protocol over HTTP/2 without connect-node, whose pipeline of some ten asynchronous iterators
 * costs 0.3 ms for each round trip of an exec channel that is used now and then. Whatever is not plain is left to it.
 */
export async function serveStream(
  request: Http2ServerRequest,
  response: Http2ServerResponse,
  options: StreamHandlerOptions,
): Promise<void> {
  const { stream } = response;
  const inbox = new Inbox<MessageShape<DescMessage>>(stream);
  const context = contextOf(request, options.method);
  stream.respond({ ":status": 200, "content-type": STREAM_TYPE });
  receive(stream, inbox, options);
  stream.on("error", () => undefined);
  stream.once("close", () => {
    // Whoever waits for the client learns that it is gone.
    if (!stream.writableEnded || !stream.readableEnded) context.abort(new ConnectError("the client went away", Code.Canceled));
    inbox.end(new ConnectError("the client went away", Code.Canceled));
  });
  const outlet = new Outlet(stream);
  let failure: unknown;
  try {
    await sendAll(stream, outlet, options.method.output, await invoke(inbox, context, options), options.encoder);
  } catch (error) {
    failure = error;
  }
  context.abort(failure);
  if (stream.destroyed || stream.writableEnded) return;
  const error = failure === undefined ? {} : { error: ConnectError.from(failure, Code.Internal) };
  outlet.write(END_FLAG, endStream.serialize({ metadata: context.responseTrailer, ...error }));
  outlet.end();
}

function receive(stream: ServerHttp2Stream, inbox: Inbox<MessageShape<DescMessage>>, { method, readMaxBytes }: StreamHandlerOptions): void {
  const reader = new EnvelopeReader(readMaxBytes);
  stream.on("data", (chunk: Buffer) => {
    try {
      for (const { flags, data } of reader.push(chunk)) {
        if (flags !== 0) throw new ConnectError(`an envelope with flags ${flags} is no message`, Code.InvalidArgument);
        inbox.push(parse(method.input, data));
      }
    } catch (error) {
      stream.removeAllListeners("data");
      stream.resume();
      inbox.end(error);
    }
  });
  stream.once("end", () => {
    const torn = reader.isPartial ? new ConnectError("the stream ended within a message", Code.InvalidArgument) : undefined;
    inbox.end(torn);
  });
}

function parse(schema: DescMessage, data: Uint8Array): MessageShape<DescMessage> {
  try {
    return fromBinary(schema, data);
  } catch (error) {
    throw new ConnectError(`parse ${schema.typeName}: ${error instanceof Error ? error.message : error}`, Code.InvalidArgument);
  }
}

function contextOf(request: Http2ServerRequest, method: BiDi): ReturnType<typeof createHandlerContext> {
  const requestHeader = new Headers();
  for (const [name, value] of Object.entries(request.headers)) {
    if (name.startsWith(":") || value === undefined) continue;
    for (const one of Array.isArray(value) ? value : [value]) requestHeader.append(name, one);
  }
  return createHandlerContext({
    service: method.parent,
    method,
    requestMethod: "POST",
    protocolName: "connect",
    url: `http://localhost${request.url}`,
    requestHeader,
    contextValues: createContextValues(),
  });
}

/** The implementation behind its interceptors. */
async function invoke(
  messages: AsyncIterable<MessageShape<DescMessage>>,
  context: HandlerContext,
  { method, implementation, interceptors }: StreamHandlerOptions,
): Promise<AsyncIterable<MessageShape<DescMessage>>> {
  const common = { stream: true, service: method.parent, method } as const;
  let next: Parameters<Interceptor>[0] = async (request) => {
    if (!request.stream) throw new ConnectError("an interceptor made a stream a single message", Code.Internal);
    const inner = { ...context, requestHeader: request.header, values: request.contextValues, signal: request.signal };
    const output = implementation(request.message as AsyncIterable<MessageShape<DescMessage>>, inner);
    return {
      ...common,
      header: context.responseHeader,
      trailer: context.responseTrailer,
      message: output as AsyncIterable<MessageShape<DescMessage>>,
    };
  };
  for (const interceptor of interceptors.toReversed()) next = interceptor(next);
  const response = await next({
    ...common,
    requestMethod: "POST",
    url: context.url,
    header: context.requestHeader,
    contextValues: context.values,
    signal: context.signal,
    message: messages,
  });
  return response.message as AsyncIterable<MessageShape<DescMessage>>;
}
