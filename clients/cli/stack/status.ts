import { request } from "node:http";
import { text } from "node:stream/consumers";
import type { Context } from "../context.ts";
import { addressOf, type DispatcherAddress, findDispatcher } from "../dispatcher.ts";
import { CliError } from "../errors.ts";
import { ExitCode } from "../exit-codes.ts";
import { answers, isServing } from "./health.ts";
import type { ServiceName, StackPaths } from "./paths.ts";
import { liveRecord } from "./record.ts";

const TIMEOUT_MS = 5000;

/** What the dispatcher says of itself at `GET /health`. */
export interface DispatcherHealth {
  readonly status: string;
  readonly version: string;
  /** Why it is not well, and what to do. */
  readonly problem?: string;
  readonly backlog?: { readonly ready: number; readonly running: number; readonly nextDueMs?: number };
  readonly brains?: ReadonlyArray<{ readonly name: string; readonly pid: number; readonly startedAt: number }>;
  readonly brainsStarted?: number;
  readonly brainsCrashed?: number;
  readonly brainSeconds?: number;
}

/** A part of the stack beside the dispatcher. */
export interface PartStatus {
  readonly name: ServiceName;
  readonly pid: number;
  readonly address: string;
  readonly healthy: boolean;
  readonly settings: Readonly<Record<string, string>>;
}

/** What a stack looks like from outside. */
export interface StackStatus {
  readonly url: string;
  readonly pid: number | undefined;
  readonly health: DispatcherHealth;
  readonly model: string | undefined;
  readonly standIn: boolean;
  /** Those that should run beside it on this machine, and do; empty for a dispatcher elsewhere. */
  readonly parts: readonly PartStatus[];
  /** Parts that should run and don't answer. */
  readonly missing: readonly ServiceName[];
}

/** Ask every part. Throws where the dispatcher is not there, refuses the token or does not answer. */
export async function readStatus(context: Context): Promise<StackStatus> {
  const { config, paths } = context;
  const found = findDispatcher(context);
  const { url } = found;
  const health = await readHealth(found);
  if (config.url !== undefined) return { url, pid: undefined, health, model: undefined, standIn: false, parts: [], missing: [] };
  const record = liveRecord(paths, "dispatcher");
  const standIn = record?.settings["standIn"] === "true";
  const wanted: readonly ServiceName[] = standIn ? ["hands", "model"] : ["hands"];
  const parts = (await Promise.all(wanted.map((name) => readPart(paths, name)))).filter((part) => part !== undefined);
  const missing = wanted.filter((name) => parts.find((part) => part.name === name)?.healthy !== true);
  return { url, pid: record?.pid, health, model: record?.settings["model"], standIn, parts, missing };
}

async function readPart(paths: StackPaths, name: ServiceName): Promise<PartStatus | undefined> {
  const record = liveRecord(paths, name);
  if (record === undefined) return undefined;
  const { pid, address, settings } = record;
  const healthy = name === "hands" ? await isServing(address) : await answers(`${address}/requests`);
  return { name, pid, address, healthy, settings };
}

async function readHealth({ url, token }: DispatcherAddress): Promise<DispatcherHealth> {
  const { status, body } = await get(url, "/health", token).catch((error: Error) => {
    throw new CliError(
      ExitCode.notRunning,
      "unreachable",
      `can't reach the dispatcher at ${url} (${error.message}): see \`leaf logs dispatcher\``,
    );
  });
  if (status === 401 || status === 403) {
    const message = `the dispatcher at ${url} refused the token: use the one that its DISPATCHER_TOKEN_FILE holds`;
    throw new CliError(ExitCode.unauthorised, "unauthorized", message);
  }
  try {
    return JSON.parse(body) as DispatcherHealth;
  } catch {
    throw new CliError(
      ExitCode.notRunning,
      "unreachable",
      `${url} is no dispatcher: it answered /health with status ${status} and no JSON`,
    );
  }
}

function get(url: string, path: string, token: string): Promise<{ status: number; body: string }> {
  const address = addressOf(url);
  const where = address.kind === "unix" ? { socketPath: address.path } : { host: address.host, port: address.port };
  const headers = token === "" ? {} : { authorization: `Bearer ${token}` };
  return new Promise((resolve, reject) => {
    const call = request({ ...where, path, headers, timeout: TIMEOUT_MS, agent: false }, (response) => {
      text(response).then((body) => resolve({ status: response.statusCode ?? 0, body }), reject);
    });
    call.on("timeout", () => call.destroy(new Error(`no answer within ${TIMEOUT_MS / 1000} s`)));
    call.on("error", reject);
    call.end();
  });
}
