import { rmSync } from "node:fs";
import { isSameProcess } from "@serverless-harness/kit/proc";
import { parseObject } from "../json.ts";
import { readText } from "./log-file.ts";
import type { ServiceName, StackPaths } from "./paths.ts";
import { writePrivate } from "./private-files.ts";

/** Name of the program that watches a service; `clients/cli/watcher/` has its source. */
export const WATCHER = "watcher";

/** When a service that died is started again, and when it is given up. */
export interface WatchBounds {
  /** The first wait in milliseconds; each further one is twice as long, up to `maxMs`. */
  readonly baseMs: number;
  readonly maxMs: number;
  /** After a life of this length the deaths in a row are counted from 0 again. */
  readonly steadyMs: number;
  /** Deaths in a row after which it is started again; one more and it is given up. */
  readonly deaths: number;
}

/** A service is given up after some three minutes in which it did nothing but die. */
export const WATCH_BOUNDS: WatchBounds = { baseMs: 500, maxMs: 30_000, steadyMs: 60_000, deaths: 10 };

/** What the watcher of a service knows of it. */
export interface Watch {
  /** `waiting`: it died and is started again soon. `ended`: as it was asked to. `gave-up`: it died too often in a row. */
  readonly state: "running" | "waiting" | "ended" | "gave-up";
  /** The service's process, 0 if there is none. */
  readonly pid: number;
  readonly startTicks: string;
  /** How often it was started again. */
  readonly restarts: number;
  /** How it ended last, for people; empty if it never did. */
  readonly lastEnd: string;
  /** Milliseconds since the Unix epoch; 0 if it never ended. */
  readonly lastEndMs: number;
}

/** Arguments of a watcher that runs `command` as a service, and gives it the address that it had in the variable `listen`. */
export function watcherArguments(
  { run }: Pick<StackPaths, "run">,
  service: { readonly name: string; readonly listen: string },
  { baseMs, maxMs, steadyMs, deaths }: WatchBounds,
  command: readonly string[],
): string[] {
  return [service.name, run, service.listen, ...[baseMs, maxMs, steadyMs, deaths].map(String), ...command];
}

/** What a service's watcher wrote last, whether it lives or not; `undefined` if it wrote nothing. */
export function readWatch(paths: StackPaths, name: ServiceName): Watch | undefined {
  return parseObject(readText(paths.watch(name)) ?? "") as Watch | undefined;
}

/** The service that the watcher reported still runs. */
export function isWatchedRunning({ state, pid, startTicks }: Watch): boolean {
  return state === "running" && isSameProcess(pid, startTicks);
}

/** Mark that a service worked: from now on its watcher starts it again if it dies, at this address. */
export function markWorked(paths: StackPaths, name: ServiceName, address: string): void {
  if (readText(paths.worked(name)) !== address) writePrivate(paths.worked(name), `${address}\n`);
}

/** Remove what is known of a service that is about to be started, or has ended. */
export function forgetWatch(paths: StackPaths, name: ServiceName): void {
  for (const path of [paths.worked(name), paths.watch(name), `${paths.watch(name)}.new`]) rmSync(path, { force: true });
}
