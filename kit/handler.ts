import { IncomingMessage } from "node:http";
import { constants } from "node:http2";
import {
  Code,
  ConnectError,
  type ConnectRouter,
  type ConnectRouterOptions,
  createConnectRouter,
  createContextKey,
  createContextValues,
  type Interceptor,
} from "@connectrpc/connect";
import type { UniversalServerResponse } from "@connectrpc/connect/protocol";
import { contentTypeUnaryJson } from "@connectrpc/connect/protocol-connect";
import { type connectNodeAdapter, universalRequestFromNodeRequest, universalResponseToNodeResponse } from "@connectrpc/connect-node";
import { clientFault } from "./client-fault.ts";
import type { Encoder } from "./connect/duplex.ts";
import { explained, isUnreadable } from "./connect/explained.ts";
import { explainBare, refuseCall, refuseMalformed, refuseUnknown } from "./connect/refusals.ts";
import type { Explain, Rpc } from "./connect/rpc.ts";
import { servePlain } from "./connect/serve-plain.ts";
import type { HarnessError } from "./errors.ts";
import type { Logger } from "./log.ts";

/** Answers HTTP requests of version 1.1 and 2. */
export type PlainHandler = ReturnType<typeof connectNodeAdapter>;
/** A request of either HTTP version, for what is not an RPC. */
export type PlainRequest = Parameters<PlainHandler>[0];
/** Its response. */
export type PlainResponse = Parameters<PlainHandler>[1];

/** What {@link createHandler} serves. */
export interface HandlerOptions extends ConnectRouterOptions {
  readonly routes: (router: ConnectRouter) => void;
  /** Answers what is not an RPC. */
  readonly fallback: PlainHandler;
  readonly log: Logger;
  /** What clients get in place of an error. */
  readonly explain: Explain;
  /** By type name of what streams send. */
  readonly encoders?: ReadonlyMap<string, Encoder> | undefined;
}

/**
 * Answer RPCs over Node's HTTP servers. In place of connect-node's own adapter, which prints to the console for each client that leaves in
 * the middle of a write, and throws out of the request listener if the Host header makes no URL.
 */
export function createHandler({ routes, fallback, log, explain, encoders = new Map(), ...options }: HandlerOptions): PlainHandler {
  const router = createConnectRouter({ ...options, interceptors: [noteCall, ...(options.interceptors ?? [])] });
  const rpcs = new Map<string, Rpc>();
  const { interceptors = [], readMaxBytes = Number.MAX_SAFE_INTEGER, requestGate } = options;
  routes(
    noting(router, (rpc) =>
      rpcs.set(pathOf(rpc.method), {
        ...rpc,
        interceptors,
        readMaxBytes,
        requestGate,
        explain,
        encoder: encoders.get(rpc.method.output.typeName),
      }),
    ),
  );
  const handlers = new Map(router.handlers.map((handler) => [handler.requestPath, handler]));
  return (request, response) => {
    const path = requestPath(request);
    const handler = handlers.get(path);
    if (handler === undefined) {
      const refusal = refuseUnknown(path, request.headers["content-type"], explain);
      return refusal === undefined ? fallback(request, response) : answerWith(refusal, request, response, log);
    }
    // As a script sends it that knows of no content types: nothing else can be meant.
    if (request.method === "POST" && handler.method.methodKind === "unary") request.headers["content-type"] ||= contentTypeUnaryJson;
    const rpc = rpcs.get(path);
    const answering = rpc === undefined ? undefined : servePlain(request, response, rpc);
    if (answering !== undefined) {
      answering.catch((error: unknown) => {
        log.error({ err: error, rpc: path }, "call could not be answered");
        // Otherwise its client would wait for ever, for example if a handler sets a header that HTTP/2 doesn't allow.
        if ("stream" in response) response.stream.close(constants.NGHTTP2_INTERNAL_ERROR);
      });
      return;
    }
    const values = createContextValues();
    let universal: ReturnType<typeof universalRequestFromNodeRequest>;
    try {
      universal = universalRequestFromNodeRequest(request, response, undefined, values);
    } catch (error) {
      log.info({ err: error }, "malformed request refused");
      return void send(Promise.resolve(refuseMalformed()), response, log);
    }
    if (request instanceof IncomingMessage) {
      // What is left of a request that was answered before its end would stand in the way of the next one on the connection.
      universal.body = request.iterator({ destroyOnReturn: false });
      response.once("finish", () => request.removeAllListeners("readable").resume());
    }
    const answer = handler(universal).then((bare) =>
      explained(explainBare(bare, handler.method, request.headers["content-type"], explain), () => values.get(WAS_CALLED), explain),
    );
    void send(answer, response, log, universal.signal);
  };
}

/** The path of a request, without its query. */
export function requestPath({ url }: Pick<PlainRequest, "url">): string {
  return url?.split("?", 1)[0] ?? "";
}

/** Refuse a request in the form of the protocol that it speaks; false, and nothing is sent, if it is no RPC. */
export function refuseRpc(request: PlainRequest, response: PlainResponse, error: HarnessError, log: Logger): boolean {
  const refusal = refuseCall(requestPath(request), request.headers["content-type"], error);
  if (refusal !== undefined) answerWith(refusal, request, response, log);
  return refusal !== undefined;
}

function answerWith(refusal: UniversalServerResponse, request: PlainRequest, response: PlainResponse, log: Logger): void {
  request.resume();
  void send(Promise.resolve(refusal), response, log);
}

/** Never rejects. `gone`: aborts when the client goes away; a refusal, which is written at once, can only fail by that. */
async function send(answer: Promise<UniversalServerResponse>, response: PlainResponse, log: Logger, gone?: AbortSignal): Promise<void> {
  try {
    const whole = await answer;
    // The answer to HEAD is over with its head: connect-node would write a body after its end.
    if (response.req.method === "HEAD") delete whole.body;
    await universalResponseToNodeResponse(whole, response);
  } catch (error) {
    if (gone?.aborted ?? true) log.debug({ err: error }, "client went away");
    else log.error({ err: error, rpc: response.req.url }, "call could not be answered");
  }
}

/** The request could be read, as far as it has to be for a call. */
const WAS_CALLED = createContextKey(false);

const noteCall: Interceptor = (next) => (request) => {
  request.contextValues.set(WAS_CALLED, true);
  return next(request.stream ? { ...request, message: readable(request.message) } : request);
};

/** A stream's messages, see {@link isUnreadable}. Whatever else goes wrong as they are read is the client's doing too. */
async function* readable<T>(messages: AsyncIterable<T>): AsyncGenerator<T> {
  try {
    yield* messages;
  } catch (error) {
    throw error instanceof ConnectError && isUnreadable(error)
      ? new ConnectError(error.rawMessage, Code.InvalidArgument, undefined, undefined, error)
      : clientFault(error);
  }
}

/** A router that tells `onRpc` each method that is routed. */
function noting(router: ConnectRouter, onRpc: (rpc: Pick<Rpc, "method" | "implementation">) => void): ConnectRouter {
  const noted: ConnectRouter = {
    ...router,
    service: (service, implementation, options) => {
      const implementations = implementation as Record<string, Rpc["implementation"] | undefined>;
      for (const method of service.methods) {
        const own = implementations[method.localName];
        if (own !== undefined) onRpc({ method, implementation: own.bind(implementation) });
      }
      router.service(service, implementation, options);
      return noted;
    },
  };
  return noted;
}

function pathOf(method: Rpc["method"]): string {
  return `/${method.parent.typeName}/${method.name}`;
}
