import type { Http2ServerRequest, IncomingHttpHeaders, ServerHttp2Stream } from "node:http2";
import { type DescMessage, type DescMethod, fromBinary, type MessageShape } from "@bufbuild/protobuf";
import {
  Code,
  ConnectError,
  createContextValues,
  createHandlerContext,
  type HandlerContext,
  type Interceptor,
  type StreamResponse,
  type UnaryResponse,
} from "@connectrpc/connect";
import type { Encoder } from "./duplex.ts";

/** The same error for the client. */
export type Explain = (error: ConnectError) => ConnectError;

/** One RPC as it is served. */
export interface Rpc {
  readonly method: DescMethod;
  readonly implementation: (input: unknown, context: HandlerContext) => unknown;
  readonly interceptors: readonly Interceptor[];
  /** Runs before anything of the request's body is read; what it throws is the answer. */
  readonly requestGate?: ((context: HandlerContext) => void | Promise<void>) | undefined;
  /** Largest message that is read. */
  readonly readMaxBytes: number;
  /** What a client gets in place of an error, as one with more details. */
  readonly explain: Explain;
  /** Writes down what the method sends, if there is a better way than the general one. */
  readonly encoder?: Encoder | undefined;
}

/** A message, or a stream of them. */
export type Input = MessageShape<DescMessage> | AsyncIterable<MessageShape<DescMessage>>;

/** What a handler knows of its call; `abort` ends its signal. */
export function contextOf(
  request: Http2ServerRequest,
  method: DescMethod,
  protocolName: "connect" | "grpc" = "connect",
): ReturnType<typeof createHandlerContext> {
  return createHandlerContext({
    service: method.parent,
    method,
    requestMethod: "POST",
    protocolName,
    url: `http://localhost${request.url}`,
    requestHeader: headersOf(request.headers),
    contextValues: createContextValues(),
  });
}

/** Run an implementation inside its interceptors. */
export async function invoke(rpc: Rpc, context: HandlerContext, message: Input): Promise<UnaryResponse | StreamResponse> {
  const { method, implementation, interceptors } = rpc;
  const { methodKind } = method;
  const stream = methodKind !== "unary";
  let next = async (request: Parameters<Parameters<Interceptor>[0]>[0]): Promise<UnaryResponse | StreamResponse> => {
    const inner = { ...context, requestHeader: request.header, values: request.contextValues, signal: request.signal };
    const input = methodKind === "server_streaming" ? await onlyOf(request.message) : request.message;
    const output = await implementation(input, inner);
    const { responseHeader: header, responseTrailer: trailer } = context;
    return { stream, service: method.parent, method, header, trailer, message: methodKind === "client_streaming" ? one(output) : output } as
      | UnaryResponse
      | StreamResponse;
  };
  for (const interceptor of interceptors.toReversed()) next = interceptor(next);
  const { requestHeader: header, values: contextValues, signal, url } = context;
  const request = { stream, service: method.parent, method, requestMethod: "POST", url, header, contextValues, signal, message };
  const response = await next(request as Parameters<typeof next>[0]);
  replaceHeaders(context.responseHeader, response.header);
  return response;
}

/** Make headers equal to others: an interceptor may answer with headers or trailers of its own. */
export function replaceHeaders(headers: Headers, others: Headers): void {
  if (headers === others) return;
  for (const name of [...headers.keys()]) headers.delete(name);
  for (const [name, value] of others) headers.append(name, value);
}

async function* one(message: unknown): AsyncGenerator<unknown> {
  yield message;
}

/** The message of a method that takes one, as its stream brings it. */
async function onlyOf(messages: unknown): Promise<unknown> {
  let only: unknown;
  for await (const message of messages as AsyncIterable<unknown>) {
    if (only !== undefined) throw new ConnectError("protocol error: this method takes one message", Code.Unimplemented);
    only = message;
  }
  if (only === undefined) throw new ConnectError("protocol error: this method takes a message, none came", Code.Unimplemented);
  return only;
}

/** A message of the client's. INVALID_ARGUMENT if it is none. */
export function parse(schema: DescMessage, data: Uint8Array): MessageShape<DescMessage> {
  try {
    return fromBinary(schema, data);
  } catch (error) {
    throw new ConnectError(`parse ${schema.typeName}: ${error instanceof Error ? error.message : error}`, Code.InvalidArgument);
  }
}

/** Headers of HTTP/2 without those that begin with a colon. */
export function headersOf(incoming: IncomingHttpHeaders): Headers {
  const headers = new Headers();
  for (const [name, value] of Object.entries(incoming)) {
    if (name.startsWith(":") || value === undefined) continue;
    for (const one of Array.isArray(value) ? value : [value]) headers.append(name, one);
  }
  return headers;
}

/**
 * Call `then` at the end of a request, and tell whether it is whole. A stream that was reset ends as well; only one that came to its end is still
 * open for the answer. Some clients, connect-node's among them, send an end and then the reset, so what arrived with the end is looked
 * at too.
 */
export function onRequestEnd(stream: ServerHttp2Stream, then: (isWhole: boolean) => void): void {
  const end = (): void => void setImmediate(() => then(!stream.closed));
  // What was asked before the call may have taken until after the client left.
  if (stream.readableEnded || stream.closed) end();
  else stream.once("end", end);
}

/** Why a call's stream was closed before its time. */
export const CLIENT_LEFT = new ConnectError("the client went away", Code.Canceled);
/** Why the signal of a call that came to its end aborts. Made once: to make an error takes longer than the rest of most calls' ends. */
export const CALL_OVER = new ConnectError("the call is over", Code.Canceled);
