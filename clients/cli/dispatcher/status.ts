import type { ListSandboxesResponse } from "@serverless-harness/proto/leaf";
import type { Context } from "../context.ts";
import { answers, isServing } from "../stack/health.ts";
import type { ServiceName, StackPaths } from "../stack/paths.ts";
import { isSandbox, readPoolSize, sandboxServices } from "../stack/pool.ts";
import { type LifeStatus, liveRecord, readLife, servicePid } from "../stack/record.ts";
import { findDispatcher } from "./address.ts";
import { type DispatcherHealth, readHealth } from "./http.ts";
import { readPool } from "./sandboxes.ts";

/** A part of the stack besides the dispatcher. */
export interface PartStatus {
  readonly name: ServiceName;
  /** `null`: it died, and is about to be started again. */
  readonly pid: number | null;
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
  /** Parts that should run besides it on this machine, and do; empty for a dispatcher elsewhere. */
  readonly parts: readonly PartStatus[];
  /** Services that were started, by name. */
  readonly lives: Readonly<Record<string, LifeStatus>>;
  /** Parts that should run and don't answer. */
  readonly missing: readonly ServiceName[];
  /** The sandboxes that sessions are placed in; `undefined`: there is no pool, or the token may not see it. */
  readonly pool: ListSandboxesResponse | undefined;
}

/** Ask every part. Throws if the dispatcher is not there, refuses the token or does not answer. */
export async function readStatus(context: Context): Promise<StackStatus> {
  const { config, paths } = context;
  const found = findDispatcher(context);
  const { url } = found;
  const health = await readHealth(found);
  const pool = await readPool(context);
  if (config.url !== undefined)
    return { url, pid: undefined, health, model: undefined, standIn: false, parts: [], lives: {}, missing: [], pool };
  const record = liveRecord(paths, "dispatcher");
  const standIn = record?.settings["standIn"] === "true";
  const wanted: readonly ServiceName[] = [...sandboxServices(readPoolSize(paths) ?? 1), ...(standIn ? (["model"] as const) : [])];
  const parts = (await Promise.all(wanted.map((name) => readPart(paths, name)))).filter((part) => part !== undefined);
  const missing = wanted.filter((name) => parts.find((part) => part.name === name)?.healthy !== true);
  const pid = record === undefined ? undefined : servicePid(paths, record);
  const lives = Object.fromEntries(
    (["dispatcher", ...wanted] as const).flatMap((name) => {
      const life = readLife(paths, name);
      return life === undefined ? [] : [[name, life]];
    }),
  );
  return { url, pid, health, model: record?.settings["model"], standIn, parts, lives, missing, pool };
}

async function readPart(paths: StackPaths, name: ServiceName): Promise<PartStatus | undefined> {
  const record = liveRecord(paths, name);
  if (record === undefined) return undefined;
  const { address, settings } = record;
  const pid = servicePid(paths, record) ?? null;
  const healthy = isSandbox(name) ? await isServing(address) : await answers(`${address}/requests`);
  return { name, pid, address, healthy, settings };
}
