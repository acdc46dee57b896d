/**
 * The client that the Connect conformance suite tests: calls that the runner asks for, made by the transports of kit. One argument: the suite's
 * image.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { create, type DescMessage, type Message, type MessageInitShape } from "@bufbuild/protobuf";
import { type Any, anyUnpack } from "@bufbuild/protobuf/wkt";
import { type CallOptions, createClient, type Transport } from "@connectrpc/connect";
import { createHttp1Transport, createTransport } from "../../transport.ts";
import { addHeaders, fromConnectError, type Header, received, reply, Suite, type SuiteError, toHeaders } from "./suite.ts";

interface CallRequest {
  readonly testName: string;
  readonly httpVersion: number;
  readonly host: string;
  readonly port: number;
  readonly serverTlsCert: Uint8Array;
  readonly clientTlsCreds?: { readonly cert: Uint8Array; readonly key: Uint8Array };
  readonly method: string;
  readonly streamType: number;
  readonly requestHeaders: readonly Header[];
  readonly requestMessages: readonly Any[];
  readonly timeoutMs?: number;
  readonly requestDelayMs: number;
  readonly cancel?: {
    readonly cancelTiming:
      | { readonly case: "beforeCloseSend" }
      | { readonly case: "afterCloseSendMs" | "afterNumResponses"; readonly value: number }
      | { readonly case: undefined };
  };
}

interface Result {
  responseHeaders: Header[];
  responseTrailers: Header[];
  payloads: unknown[];
  error?: SuiteError;
  numUnsentRequests: number;
}

type Answer = Message & { readonly payload?: unknown };
type Call = (input: unknown, options: CallOptions) => Promise<Answer> | AsyncIterable<Answer>;

const HTTP_1 = 1;
const FULL_DUPLEX = 5;
/** Calls at once: some have a deadline of a fifth of a second, and have to be made within it. */
const AT_ONCE = 4;

const suite = new Suite(process.argv[2] ?? "");
const service = suite.service();

function open({ httpVersion, host, port, serverTlsCert, clientTlsCreds }: CallRequest): Transport & { close?: () => void } {
  if (httpVersion === HTTP_1) return createHttp1Transport(`http://${host}:${port}`);
  const text = (pem: Uint8Array): string => Buffer.from(pem).toString();
  return createTransport({
    address: { kind: "tcp", host, port, ...(serverTlsCert.length > 0 ? { tls: true } : {}) },
    tls: {
      ...(serverTlsCert.length > 0 ? { ca: text(serverTlsCert) } : {}),
      ...(clientTlsCreds === undefined ? {} : { key: text(clientTlsCreds.key), cert: text(clientTlsCreds.cert) }),
    },
  });
}

async function make(request: CallRequest): Promise<Result> {
  const result: Result = { responseHeaders: [], responseTrailers: [], payloads: [], numUnsentRequests: 0 };
  const transport = open(request);
  const method = service.methods.find(({ name }) => name === request.method);
  if (method === undefined) throw new Error(`${request.method} is no method of the suite`);
  const call = (createClient(service, transport) as unknown as Record<string, Call>)[method.localName];
  const messages = request.requestMessages.map((any) => anyUnpack(any, suite.registry));
  const leaving = new AbortController();
  const timing = request.cancel?.cancelTiming;
  const cancelAfter =
    timing?.case === "afterCloseSendMs" ? timing.value : timing !== undefined && timing.case === undefined ? 0 : undefined;
  const sent = (): void => {
    if (cancelAfter !== undefined) setTimeout(() => leaving.abort(), cancelAfter);
  };
  let answers = Promise.withResolvers<void>();
  async function* sending(): AsyncGenerator<unknown> {
    result.numUnsentRequests = messages.length;
    for (const message of messages) {
      await sleep(request.requestDelayMs);
      result.numUnsentRequests--;
      answers = Promise.withResolvers<void>();
      yield message;
      if (request.streamType === FULL_DUPLEX) await answers.promise;
    }
    if (timing?.case === "beforeCloseSend") {
      leaving.abort();
      await new Promise(() => undefined);
    }
    sent();
  }
  const headers = new Headers();
  addHeaders(headers, request.requestHeaders);
  const options: CallOptions = {
    headers,
    signal: leaving.signal,
    ...(request.timeoutMs === undefined ? {} : { timeoutMs: request.timeoutMs }),
    onHeader: (header) => {
      result.responseHeaders = toHeaders(header);
    },
    onTrailer: (trailer) => {
      result.responseTrailers = toHeaders(trailer);
    },
  };
  const takesOne = method.methodKind === "unary" || method.methodKind === "server_streaming";
  const take = (answer: Answer): void => void result.payloads.push(answer.payload ?? create(suite.message("ConformancePayload")));
  try {
    const calling = call?.(takesOne ? messages[0] : sending(), options);
    if (calling === undefined) throw new Error(`${method.name} can't be called`);
    if (takesOne) sent();
    if (!(Symbol.asyncIterator in calling)) take(await calling);
    else {
      for await (const answer of calling) {
        take(answer);
        if (timing?.case === "afterNumResponses" && result.payloads.length === timing.value) leaving.abort();
        answers.resolve();
      }
    }
  } catch (error) {
    result.error = fromConnectError(error);
    // A failed call has its headers and trailers in one list.
    if (result.responseTrailers.length === 0) result.responseTrailers = metadataOf(error);
  } finally {
    answers.resolve();
    transport.close?.();
  }
  return result;
}

function metadataOf(error: unknown): Header[] {
  return typeof error === "object" && error !== null && "metadata" in error ? toHeaders(error.metadata as Headers) : [];
}

const response = suite.message("ClientCompatResponse");
const calls = new Set<Promise<void>>();
for await (const request of received<CallRequest>(suite.message("ClientCompatRequest"))) {
  const answer = (result: object): void =>
    reply(response, create(response, { testName: request.testName, result } as MessageInitShape<DescMessage>));
  const calling = make(request)
    .then(
      (value) => answer({ case: "response", value }),
      (error: unknown) => answer({ case: "error", value: { message: String(error) } }),
    )
    .finally(() => calls.delete(calling));
  calls.add(calling);
  if (calls.size >= AT_ONCE) await Promise.race(calls);
}
await Promise.all(calls);
