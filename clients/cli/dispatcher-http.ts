import { request as requestPlain } from "node:http";
import { request as requestTls } from "node:https";
import { text } from "node:stream/consumers";
import { addressOf, type DispatcherAddress } from "./dispatcher-address.ts";
import { CliError } from "./errors.ts";
import { ExitCode } from "./exit-codes.ts";

/** A request over plain HTTP. */
export interface HttpRequest {
  readonly method: "GET" | "POST";
  readonly path: string;
  /** JSON. */
  readonly body?: string;
  /** How long a silence may last, in milliseconds. */
  readonly timeoutMs: number;
}

/** The error for a dispatcher that gave no answer. */
export function unreachable({ url }: DispatcherAddress, { message }: Error): CliError {
  return new CliError(ExitCode.notRunning, "unreachable", `can't reach the dispatcher at ${url} (${message})`);
}

/** Ask the dispatcher over plain HTTP, also on its Unix socket. Rejects where no answer came. */
export function askOverHttp(
  { url, token }: DispatcherAddress,
  { method, path, body = "", timeoutMs }: HttpRequest,
): Promise<{ status: number; body: string }> {
  const address = addressOf(url);
  const where = address.kind === "unix" ? { socketPath: address.path } : { host: address.host, port: address.port };
  const headers = {
    ...(token === "" ? {} : { authorization: `Bearer ${token}` }),
    ...(body === "" ? {} : { "content-type": "application/json", "content-length": Buffer.byteLength(body) }),
  };
  const request = address.kind === "tcp" && address.tls === true ? requestTls : requestPlain;
  return new Promise((resolve, reject) => {
    const call = request({ ...where, method, path, headers, timeout: timeoutMs, agent: false }, (response) => {
      text(response).then((received) => resolve({ status: response.statusCode ?? 0, body: received }), reject);
    });
    call.on("timeout", () => call.destroy(new Error(`no answer within ${timeoutMs / 1000} s`)));
    call.on("error", reject);
    call.end(body);
  });
}
