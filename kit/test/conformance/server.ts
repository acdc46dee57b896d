/** The server that the Connect conformance suite tests: its service, served by kit as every service of ours is. One argument: the suite's image. */
import { setTimeout as sleep } from "node:timers/promises";
import type { DescService } from "@bufbuild/protobuf";
import { create, type DescMessage, type Message, type MessageInitShape, type MessageShape } from "@bufbuild/protobuf";
import type { ConnectError, HandlerContext, ServiceImpl } from "@connectrpc/connect";
import { ErrorInfoSchema } from "@serverless-harness/proto/error";
import { createLogger } from "../../log.ts";
import { serve } from "../../serve.ts";
import { addHeaders, type Header, packed, received, reply, Suite, type SuiteError, toConnectError, toHeaders } from "./suite.ts";

interface ServerCompatRequest {
  readonly useTls: boolean;
  readonly clientTlsCert: Uint8Array;
  readonly messageReceiveLimit: number;
  readonly serverCreds?: { readonly cert: Uint8Array; readonly key: Uint8Array };
}

interface Definition {
  readonly responseHeaders: readonly Header[];
  readonly responseTrailers: readonly Header[];
  readonly responseDelayMs: number;
}

type UnaryDefinition = Definition & {
  readonly response: { readonly case: "responseData"; readonly value: Uint8Array } | { readonly case: "error"; readonly value: SuiteError };
};
type StreamDefinition = Definition & { readonly responseData: readonly Uint8Array[]; readonly error?: SuiteError };

type UnaryRequest = Message & { readonly responseDefinition?: UnaryDefinition };
type StreamRequest = Message & { readonly responseDefinition?: StreamDefinition; readonly fullDuplex?: boolean };

const suite = new Suite(process.argv[2] ?? "");
const requestInfo = suite.message("ConformancePayload.RequestInfo");

/** What the server saw of a call. */
function seen(requests: readonly Message[], context: HandlerContext): MessageShape<DescMessage> {
  const timeoutMs = context.timeoutMs();
  const parameters = [...new URL(context.url).searchParams].map(([name, value]) => ({ name, value: [value] }));
  return create(requestInfo, {
    requestHeaders: toHeaders(context.requestHeader),
    requests: requests.map((request) => packed(suite, request)),
    ...(timeoutMs === undefined ? {} : { timeoutMs: BigInt(Math.round(timeoutMs)) }),
    ...(context.requestMethod === "GET" ? { connectGetInfo: { queryParams: parameters } } : {}),
  } as MessageInitShape<DescMessage>);
}

function begin(definition: Definition | undefined, context: HandlerContext): void {
  addHeaders(context.responseHeader, definition?.responseHeaders);
  addHeaders(context.responseTrailer, definition?.responseTrailers);
}

async function answerOnce(requests: readonly UnaryRequest[], context: HandlerContext): Promise<object> {
  const definition = requests[0]?.responseDefinition;
  const info = seen(requests, context);
  begin(definition, context);
  await sleep(definition?.responseDelayMs ?? 0);
  const { response } = definition ?? {};
  if (response?.case === "error") throw toConnectError(response.value, packed(suite, info));
  return { payload: { requestInfo: info, ...(response?.case === "responseData" ? { data: response.value } : {}) } };
}

async function* answerAll(requests: AsyncIterable<StreamRequest>, context: HandlerContext): AsyncGenerator<object> {
  let definition: StreamDefinition | undefined;
  let isFullDuplex = false;
  let isFirst = true;
  let sent = 0;
  let news: StreamRequest[] = [];
  const next = async (...info: readonly object[]): Promise<object> => {
    await sleep(definition?.responseDelayMs ?? 0);
    return { payload: { data: definition?.responseData[sent++], ...(info[0] === undefined ? {} : { requestInfo: info[0] }) } };
  };
  const hasMore = (): boolean => sent < (definition?.responseData.length ?? 0);
  for await (const request of requests) {
    news.push(request);
    if (isFirst) {
      isFirst = false;
      definition = request.responseDefinition;
      isFullDuplex = request.fullDuplex === true;
      begin(definition, context);
    }
    if (!isFullDuplex) continue;
    if (!hasMore()) break;
    yield await next(sent === 0 ? seen(news, context) : { requests: news.map((one) => packed(suite, one)) });
    news = [];
  }
  while (hasMore()) yield await next(...(sent === 0 ? [seen(news, context)] : []));
  if (definition?.error !== undefined) throw toConnectError(definition.error, ...(sent === 0 ? [packed(suite, seen(news, context))] : []));
}

async function all<T>(requests: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const request of requests) list.push(request);
  return list;
}

async function* only<T>(request: T): AsyncGenerator<T> {
  yield request;
}

/** The suite counts an error's details, and knows none of ours. */
function withoutReason(error: ConnectError): ConnectError {
  error.details = error.details.filter((detail) => ("type" in detail ? detail.type : detail.desc.typeName) !== ErrorInfoSchema.typeName);
  return error;
}

const service = suite.service();
const implementation = {
  unary: (request: UnaryRequest, context: HandlerContext) => answerOnce([request], context),
  idempotentUnary: (request: UnaryRequest, context: HandlerContext) => answerOnce([request], context),
  clientStream: async (requests: AsyncIterable<UnaryRequest>, context: HandlerContext) => answerOnce(await all(requests), context),
  serverStream: (request: StreamRequest, context: HandlerContext) => answerAll(only(request), context),
  bidiStream: answerAll,
} as unknown as ServiceImpl<DescService>;

for await (const { useTls, serverCreds, clientTlsCert, messageReceiveLimit } of received<ServerCompatRequest>(
  suite.message("ServerCompatRequest"),
)) {
  const text = (pem: Uint8Array | undefined): string => Buffer.from(pem ?? []).toString();
  const server = await serve({
    address: { kind: "tcp", host: "127.0.0.1", port: 0, ...(useTls ? { tls: true } : {}) },
    log: createLogger("conformance", "silent"),
    routes: (router) => router.service(service, implementation),
    explain: withoutReason,
    registry: suite.registry,
    ...(messageReceiveLimit === 0 ? {} : { maxMessageBytes: messageReceiveLimit }),
    ...(useTls
      ? {
          tls: {
            key: text(serverCreds?.key),
            cert: text(serverCreds?.cert),
            ...(clientTlsCert.length === 0 ? {} : { clientCa: text(clientTlsCert) }),
          },
        }
      : {}),
  });
  if (server.address.kind !== "tcp") throw new Error("it listens on a port");
  const { host, port } = server.address;
  const response = suite.message("ServerCompatResponse");
  reply(response, create(response, { host, port, pemCert: serverCreds?.cert ?? new Uint8Array() } as MessageInitShape<DescMessage>));
}
// The runner ends this program by a signal.
