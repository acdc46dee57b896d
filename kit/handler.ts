import { constants } from "node:http2";
import { type ConnectRouter, type ConnectRouterOptions, createConnectRouter } from "@connectrpc/connect";
import { type connectNodeAdapter, universalRequestFromNodeRequest, universalResponseToNodeResponse } from "@connectrpc/connect-node";
import type { Encoder } from "./connect/duplex.ts";
import type { Rpc } from "./connect/rpc.ts";
import { servePlain } from "./connect/serve-plain.ts";
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
  /** By type name of what streams send. */
  readonly encoders?: ReadonlyMap<string, Encoder> | undefined;
}

/**
 * Answer RPCs over Node's HTTP servers. In place of connect-node's own adapter, which prints to the console for each client that leaves in
 * the middle of a write, and throws out of the request listener where the Host header makes no URL.
 */
export function createHandler({ routes, fallback, log, encoders = new Map(), ...options }: HandlerOptions): PlainHandler {
  const router = createConnectRouter(options);
  const rpcs = new Map<string, Rpc>();
  const { interceptors = [], readMaxBytes = Number.MAX_SAFE_INTEGER } = options;
  routes(
    noting(router, (rpc) =>
      rpcs.set(pathOf(rpc.method), { ...rpc, interceptors, readMaxBytes, encoder: encoders.get(rpc.method.output.typeName) }),
    ),
  );
  const handlers = new Map(router.handlers.map((handler) => [handler.requestPath, handler]));
  return (request, response) => {
    const path = request.url?.split("?", 1)[0] ?? "";
    const handler = handlers.get(path);
    if (handler === undefined) return fallback(request, response);
    const rpc = rpcs.get(path);
    const answering = rpc === undefined ? undefined : servePlain(request, response, rpc);
    if (answering !== undefined) {
      answering.catch((error: unknown) => {
        log.error({ err: error, rpc: path }, "call could not be answered");
        // Else its client would wait for ever, as where a handler sets a header that HTTP/2 doesn't allow.
        if ("stream" in response) response.stream.close(constants.NGHTTP2_INTERNAL_ERROR);
      });
      return;
    }
    let universal: ReturnType<typeof universalRequestFromNodeRequest>;
    try {
      universal = universalRequestFromNodeRequest(request, response, undefined, undefined);
    } catch (error) {
      log.info({ err: error }, "malformed request refused");
      response.writeHead(400);
      response.end();
      return;
    }
    handler(universal)
      .then((answer) => universalResponseToNodeResponse(answer, response))
      .catch((error: unknown) => {
        if (universal.signal.aborted) log.debug({ err: error }, "client went away");
        else log.error({ err: error, rpc: handler.requestPath }, "call could not be answered");
      });
  };
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
