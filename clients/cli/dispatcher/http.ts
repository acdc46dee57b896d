import { request as requestPlain } from "node:http";
import { request as requestTls } from "node:https";
import { text } from "node:stream/consumers";
import { isEncrypted } from "@serverless-harness/kit/address";
import { CliError, ExitCode } from "../errors.ts";
import { parseJson } from "../json.ts";
import { addressOf, type DispatcherAddress } from "./address.ts";

const HEALTH_TIMEOUT_MS = 5000;

/** A request over plain HTTP. */
export interface HttpRequest {
  readonly method: "GET" | "POST";
  readonly path: string;
  /** JSON. */
  readonly body?: string;
  /** The longest silence, in milliseconds. */
  readonly timeoutMs: number;
  /** PEM of the authorities of an https address. Default: the system's. */
  readonly ca?: string;
}

/** What the dispatcher says of itself at `GET /health`. */
export interface DispatcherHealth {
  readonly status: string;
  readonly version: string;
  /** Why it is not well, and what to do. */
  readonly problem?: string;
  /** Who starts brains. */
  readonly waker?: "local" | "knative" | "keda" | "none";
  readonly backlog?: { readonly ready: number; readonly running: number; readonly nextDueMs?: number };
  readonly brains?: ReadonlyArray<{ readonly name: string; readonly pid: number; readonly startedAt: number }>;
  readonly brainsStarted?: number;
  readonly brainsCrashed?: number;
  readonly brainSeconds?: number;
}

/** Ask the dispatcher how it is. Throws if it is not there, refuses the token, or is something else. */
export async function readHealth(dispatcher: DispatcherAddress): Promise<DispatcherHealth> {
  const { url } = dispatcher;
  const request = { method: "GET", path: "/health", timeoutMs: HEALTH_TIMEOUT_MS } as const;
  const { status, body } = await askOverHttp(dispatcher, request).catch((error: NodeJS.ErrnoException) => {
    // A server of another protocol sends what Node's parser of HTTP refuses.
    if (error.code?.startsWith("HPE_")) throw noDispatcher(url, "with something that is no HTTP");
    throw unreachable(dispatcher, error, ": see `leaf logs dispatcher`");
  });
  if (status === 401 || status === 403) {
    const message = `the dispatcher at ${url} refused the token: set LEAF_TOKEN to the one that its DISPATCHER_TOKEN_FILE holds`;
    throw new CliError(ExitCode.unauthorised, "unauthorized", message);
  }
  const health = parseJson(body) as Partial<DispatcherHealth> | null | undefined;
  if (typeof health?.status === "string" && typeof health.version === "string") return health as DispatcherHealth;
  throw noDispatcher(url, `/health with status ${status}, and not as a dispatcher does`);
}

/** The error for a dispatcher that gave no answer. */
export function unreachable({ url }: DispatcherAddress, { message }: Error, advice = ""): CliError {
  return new CliError(ExitCode.notRunning, "unreachable", `can't reach the dispatcher at ${url} (${message})${advice}`);
}

function noDispatcher(url: string, how: string): CliError {
  return new CliError(ExitCode.notRunning, "no_dispatcher", `${url} is no dispatcher: it answered ${how}; check LEAF_URL`);
}

/** Ask the dispatcher over plain HTTP, also on its Unix socket. Rejects if no answer came. */
export function askOverHttp(
  { url, token }: DispatcherAddress,
  { method, path, body = "", timeoutMs, ca }: HttpRequest,
): Promise<{ status: number; body: string }> {
  const address = addressOf(url);
  const target = address.kind === "unix" ? { socketPath: address.path } : { host: address.host, port: address.port };
  const headers = {
    ...(token === "" ? {} : { authorization: `Bearer ${token}` }),
    ...(body === "" ? {} : { "content-type": "application/json", "content-length": Buffer.byteLength(body) }),
  };
  const request = isEncrypted(address) ? requestTls : requestPlain;
  return new Promise((resolve, reject) => {
    const call = request(
      { ...target, method, path, headers, timeout: timeoutMs, agent: false, ...(ca === undefined ? {} : { ca }) },
      (response) => {
        text(response).then((received) => resolve({ status: response.statusCode ?? 0, body: received }), reject);
      },
    );
    call.on("timeout", () => call.destroy(new Error(`no answer within ${timeoutMs / 1000} s`)));
    call.on("error", reject);
    call.end(body);
  });
}
