import { Code } from "@connectrpc/connect";
import { type Address, formatAddress } from "./address.ts";
import { fromConnectError } from "./errors.ts";
import { type PlainHandler, type PlainRequest, type PlainResponse, requestPath } from "./handler.ts";
import type { HealthState } from "./health.ts";
import type { Logger } from "./log.ts";
import type { Metrics } from "./metrics.ts";
import { type ServeOptions, type Server, serve } from "./serve.ts";

/** What {@link probes} answers from. */
export interface ProbesOptions {
  readonly health: HealthState;
  readonly metrics: Metrics;
  readonly log: Logger;
  /** Rejects if this request may not read the metrics. Default: everybody may. */
  readonly authorize?: (authorization: string | undefined) => void | Promise<void>;
  /** Answers every other path. Default: 404. */
  readonly next?: PlainHandler;
}

/** What is served here. */
const PATHS = ["/livez", "/healthz", "/metrics"];

/**
 * `GET /livez`: 200 as long as the process's main loop turns, whatever else is wrong and while it drains too, for whoever restarts a process that hangs. `GET
 * /healthz`: 200, or 503 once the server takes no more requests. `GET /metrics`: the text format of Prometheus. HEAD as well.
 */
export function probes(options: ProbesOptions): PlainHandler {
  return (request, response) => {
    const path = requestPath(request);
    if (!PATHS.includes(path)) {
      if (options.next !== undefined) return options.next(request, response);
      return void send(request, response, 404, `nothing is served here: use ${PATHS.join(", ")}\n`);
    }
    if (request.method !== "GET" && request.method !== "HEAD") {
      return void send(request, response, 405, `${path} serves GET and HEAD\n`, { allow: "GET, HEAD" });
    }
    if (path === "/livez") return void send(request, response, 200, "ok\n");
    if (path === "/healthz") {
      const { isServing } = options.health;
      return void send(request, response, isServing ? 200 : 503, isServing ? "ok\n" : "draining\n");
    }
    void sendMetrics(options, request, response);
  };
}

/** Serve {@link probes} alone on an address of their own, if one is set. */
export async function serveProbes(
  address: Address | undefined,
  options: ProbesOptions & { readonly around?: ServeOptions["around"] },
): Promise<Server | undefined> {
  if (address === undefined) return undefined;
  const { log, around } = options;
  const server = await serve({
    address,
    routes: () => undefined,
    fallback: probes(options),
    log,
    ...(around === undefined ? {} : { around }),
  });
  options.log.info({ address: formatAddress(server.address) }, "metrics are served");
  return server;
}

async function sendMetrics({ metrics, authorize, log }: ProbesOptions, request: PlainRequest, response: PlainResponse): Promise<void> {
  try {
    await authorize?.(request.headers.authorization);
  } catch (error) {
    const { code, message } = fromConnectError(error);
    if (code === Code.Unauthenticated) return void send(request, response, 401, `${message}\n`, { "www-authenticate": "Bearer" });
    return void send(request, response, 403, `${message}\n`);
  }
  metrics.text().then(
    (text) => send(request, response, 200, text, { "content-type": metrics.contentType }),
    (error: unknown) => {
      log.error({ err: error }, "the metrics can't be read");
      send(request, response, 500, "the metrics can't be read; the service's log has the cause\n");
    },
  );
}

function send(request: PlainRequest, response: PlainResponse, status: number, text: string, headers: Record<string, string> = {}): void {
  if (response.destroyed || response.writableEnded) return;
  response.on("error", () => undefined);
  response.writeHead(status, {
    "content-type": "text/plain; charset=utf-8",
    "content-length": String(Buffer.byteLength(text)),
    "cache-control": "no-store",
    ...headers,
  });
  response.end(request.method === "HEAD" ? "" : text);
  request.resume();
}
