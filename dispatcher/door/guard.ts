import { isIPv6 } from "node:net";
import { Code } from "@connectrpc/connect";
import type { Address } from "@serverless-harness/kit/address";
import { HarnessError } from "@serverless-harness/kit/errors";
import type { Logger } from "@serverless-harness/kit/log";
import { type PlainHandler, type PlainRequest, type PlainResponse, refuseRpc } from "@serverless-harness/kit/serve";
import { discard } from "../http/body.ts";
import { errorBody } from "../http/reply.ts";
import { send } from "../http/router.ts";
import { type DoorRules, hostsAt } from "./rules.ts";

const METHODS = "GET, HEAD, POST";
/** What clients of the RPCs and of the plain API send, beyond what every page may. */
const REQUEST_HEADERS = [
  ...["authorization", "content-type", "idempotency-key", "last-event-id", "traceparent", "tracestate"],
  ...["connect-protocol-version", "connect-timeout-ms", "grpc-timeout", "x-grpc-web", "x-user-agent"],
].join(", ");
/** What they read of an answer. */
const ANSWER_HEADERS = "grpc-status, grpc-message, grpc-status-details-bin, retry-after, www-authenticate";
/** A browser asks again after so many seconds. */
const MAX_AGE_S = "7200";

/** Stands in front of every request, RPCs too: lets in what the rules let in, and tells browsers which pages may call. */
export function guarded(rules: DoorRules, listen: Address, log: Logger): (handler: PlainHandler) => PlainHandler {
  const hosts = hostsAt(listen, rules);
  return (handler) => (request, response) => {
    if (hosts !== undefined && !isCalledBy(request, hosts)) return refuse(request, response, wrongHost(hosts, rules), 421, log);
    const { origin } = request.headers;
    if (rules.origins.size > 0) response.setHeader("vary", "origin");
    const isAllowed = origin !== undefined && rules.origins.has(origin);
    if (isAllowed) {
      response.setHeader("access-control-allow-origin", origin);
      response.setHeader("access-control-expose-headers", ANSWER_HEADERS);
    }
    if (!isPreflight(request)) return handler(request, response);
    if (!isAllowed) return refuse(request, response, wrongOrigin(rules), 403, log);
    response.writeHead(204, {
      "access-control-allow-methods": METHODS,
      "access-control-allow-headers": REQUEST_HEADERS,
      "access-control-max-age": MAX_AGE_S,
    });
    response.end();
    discard(request);
  };
}

/** By a name that is ours, or by the very address that it came to. One without a name is of no browser. */
function isCalledBy({ headers, socket }: PlainRequest, hosts: ReadonlySet<string>): boolean {
  const authority = String(headers[":authority"] ?? headers.host ?? "");
  if (authority === "") return true;
  const name = authority.toLowerCase().replace(/:\d*$/, "").replace(/\.$/, "");
  return hosts.has(name) || name === hostOf(socket.localAddress ?? "");
}

function hostOf(address: string): string {
  const plain = address.replace(/^::ffff:(?=\d+\.)/, "");
  return isIPv6(plain) ? `[${plain}]` : plain;
}

/** A browser asks whether a page may call; the call itself comes later. */
function isPreflight({ method, headers }: PlainRequest): boolean {
  return method === "OPTIONS" && headers.origin !== undefined && headers["access-control-request-method"] !== undefined;
}

function wrongHost(hosts: ReadonlySet<string>, { settings }: DoorRules): HarnessError {
  const text = `nothing is served under the name of this Host header: use ${[...hosts].join(", ")}, or have the operator add it to ${settings.hosts}`;
  return new HarnessError(Code.PermissionDenied, "host_not_allowed", text);
}

function wrongOrigin({ settings }: DoorRules): HarnessError {
  const text = `pages of this origin may not call: have the operator add it to ${settings.origins}`;
  return new HarnessError(Code.PermissionDenied, "origin_not_allowed", text);
}

function refuse(request: PlainRequest, response: PlainResponse, error: HarnessError, status: number, log: Logger): void {
  if (!refuseRpc(request, response, error, log)) send(request, response, { status, body: errorBody(error.reason, error.message) });
}
