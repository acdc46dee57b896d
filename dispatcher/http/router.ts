import { once } from "node:events";
import type { Logger } from "@serverless-harness/kit/log";
import { type PlainRequest, type PlainResponse, requestPath } from "@serverless-harness/kit/serve";
import type { Caller } from "../callers/caller.ts";
import { discard } from "./body.ts";
import { errorBody, errorReply, type Reply, type StreamReply } from "./reply.ts";

/** One plain HTTP request, of either version. */
export interface HttpCall {
  readonly request: PlainRequest;
  /** What stands in the path for the names in braces. */
  readonly params: Readonly<Record<string, string>>;
  /** Aborts when the client goes away. */
  readonly gone: AbortSignal;
}

/** A request whose sender is known. */
export interface KnownCall extends HttpCall {
  readonly caller: Caller;
}

/** Answers a call; what it throws becomes an error reply. */
export type Handler = (call: HttpCall) => Promise<Reply | StreamReply>;
/** Answers a call of somebody who is known. */
export type KnownHandler = (call: KnownCall) => Promise<Reply | StreamReply>;

/** Paths, in which `{name}` stands for any one segment, and the methods that each one serves. GET serves HEAD too. */
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
      .then(async (reply) => {
        if ("pieces" in reply) await sendPieces(request, response, reply, gone.signal);
        else send(request, response, reply);
        const ms = Math.round((performance.now() - started) * 100) / 100;
        log.debug({ method: request.method, path: requestPath(request), status: reply.status, ms }, "request");
      })
      .catch((error: unknown) => {
        log.error({ err: error }, "request failed");
        response.destroy();
      });
  };
}

async function answer(table: RouteTable, call: Omit<HttpCall, "params">): Promise<Reply | StreamReply> {
  const path = requestPath(call.request);
  const route = Object.entries(table)
    .map(([template, methods]) => ({ methods, params: paramsOf(template, path) }))
    .find(({ params }) => params !== undefined);
  if (route?.params === undefined) {
    const paths = Object.keys(table).join(", ");
    return { status: 404, body: errorBody("not_found", `nothing is served here: use ${paths}, or an RPC of harness.leaf.v1.LeafService`) };
  }
  const { methods, params } = route;
  const method = call.request.method === "HEAD" ? "GET" : (call.request.method ?? "");
  const handler = Object.hasOwn(methods, method) ? methods[method] : undefined;
  if (handler !== undefined) return await handler({ ...call, params });
  const allow = Object.keys(methods)
    .flatMap((name) => (name === "GET" ? ["GET", "HEAD"] : [name]))
    .join(", ");
  return { status: 405, headers: { allow }, body: errorBody("method_not_allowed", `${path} serves ${allow}`) };
}

/** What a path has for each name of a template; `undefined` for a path that is another one. */
function paramsOf(template: string, path: string): Record<string, string> | undefined {
  if (template === path) return {};
  const names = template.split("/");
  const values = path.split("/");
  if (names.length !== values.length || !template.includes("{")) return undefined;
  const params: Record<string, string> = {};
  for (const [index, name] of names.entries()) {
    const value = values[index] ?? "";
    if (name.startsWith("{")) params[name.slice(1, -1)] = decoded(value);
    else if (name !== value) return undefined;
  }
  return params;
}

/** A segment of a path; one that is not well encoded stands for itself, and nothing is called so. */
function decoded(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}

/** Send pieces as fast as the client takes them. The first one takes the head along, though it is empty. */
async function sendPieces(request: PlainRequest, response: PlainResponse, reply: StreamReply, gone: AbortSignal): Promise<void> {
  if (response.destroyed || response.writableEnded) return;
  response.writeHead(reply.status, { ...reply.headers, "cache-control": "no-store, no-transform" });
  discard(request);
  if (request.method !== "HEAD") {
    for await (const piece of reply.pieces) {
      if (gone.aborted) return;
      if (!response.write(piece)) await once(response, "drain", { signal: gone }).catch(() => undefined);
    }
  }
  response.end();
}

/** Send an answer, all at once. Does nothing if the client has gone. */
export function send(request: PlainRequest, response: PlainResponse, reply: Reply): void {
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

/** The query of a request. */
export function queryOf({ url }: PlainRequest): URLSearchParams {
  return new URLSearchParams(/\?(.*)$/s.exec(url ?? "")?.[1] ?? "");
}
