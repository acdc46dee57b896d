import type { Logger } from "@serverless-harness/kit/log";
import type { PlainRequest, PlainResponse } from "@serverless-harness/kit/serve";
import type { Caller } from "../caller.ts";
import { discard } from "./body.ts";
import { errorBody, errorReply, type Reply } from "./reply.ts";

/** One plain HTTP request, of either version. */
export interface HttpCall {
  readonly request: PlainRequest;
  /** Aborts when the client goes away. */
  readonly gone: AbortSignal;
}

/** A request whose sender is known. */
export interface KnownCall extends HttpCall {
  readonly caller: Caller;
}

/** Answers a call; what it throws becomes an error reply. */
export type Handler = (call: HttpCall) => Promise<Reply>;
/** Answers a call of somebody who is known. */
export type KnownHandler = (call: KnownCall) => Promise<Reply>;

/** Paths, and the methods that each one serves. GET serves HEAD too. */
export type RouteTable = Readonly<Record<string, Readonly<Record<string, Handler>>>>;

/** Serve a table of routes: 404 for another path, 405 with `Allow` for another method, JSON bodies throughout. */
export function createRouter(table: RouteTable, log: Logger): (request: PlainRequest, response: PlainResponse) => void {
  return (request, response) => {
    const started = performance.now();
    const gone = new AbortController();
    response.once("close", () => gone.abort());
    response.on("error", (error) => log.debug({ err: error }, "response broke"));
    answer(table, { request, gone: gone.signal })
      .catch((error: unknown) => errorReply(error, log))
      .then((reply) => {
        send(request, response, reply);
        const ms = Math.round((performance.now() - started) * 100) / 100;
        log.debug({ method: request.method, path: pathOf(request), status: reply.status, ms }, "request");
      })
      .catch((error: unknown) => log.error({ err: error }, "request failed"));
  };
}

async function answer(table: RouteTable, call: HttpCall): Promise<Reply> {
  const path = pathOf(call.request);
  const methods = Object.hasOwn(table, path) ? table[path] : undefined;
  if (methods === undefined) {
    const paths = Object.keys(table).join(", ");
    return { status: 404, body: errorBody("not_found", `nothing is served here: use ${paths}, or an RPC of harness.leaf.v1.LeafService`) };
  }
  const method = call.request.method === "HEAD" ? "GET" : (call.request.method ?? "");
  const handler = Object.hasOwn(methods, method) ? methods[method] : undefined;
  if (handler !== undefined) return await handler(call);
  const allow = Object.keys(methods)
    .flatMap((name) => (name === "GET" ? ["GET", "HEAD"] : [name]))
    .join(", ");
  return { status: 405, headers: { allow }, body: errorBody("method_not_allowed", `${path} serves ${allow}`) };
}

function send(request: PlainRequest, response: PlainResponse, reply: Reply): void {
  if (response.destroyed || response.writableEnded) return;
  const text = `${JSON.stringify(reply.body)}\n`;
  response.writeHead(reply.status, {
    ...reply.headers,
    "content-type": "application/json; charset=utf-8",
    "content-length": String(Buffer.byteLength(text)),
    "cache-control": "no-store",
  });
  response.end(request.method === "HEAD" ? "" : text);
  discard(request);
}

function pathOf(request: PlainRequest): string {
  return request.url?.split("?", 1)[0] ?? "";
}
