import { readFileSync, rmSync } from "node:fs";
import { isSameProcess, processStartTicks } from "@serverless-harness/kit/proc";
import { parseObject } from "../json.ts";
import { lastLines } from "./log-file.ts";
import type { ServiceName, StackPaths } from "./paths.ts";
import { knownServices } from "./pool.ts";
import { writePrivate } from "./private-files.ts";
import type { Version } from "./programs.ts";
import { forgetWatch, isWatchedRunning, readWatch, WATCHER } from "./watch.ts";

/** How many lines at a log's end are searched for one that is the service's own. */
const SEARCHED_LINES = 100;

/** A service of the stack, as `run/<name>.json` has it. */
export interface ServiceRecord {
  readonly name: ServiceName;
  /** Process id of its watcher, which `leaf up` started. */
  readonly pid: number;
  /** Together with the pid and the boot it names the process uniquely. */
  readonly startTicks: string;
  readonly bootId: string;
  /** Where it is reached: `unix:/path` or `http://host:port`. Empty before it listens on a port that it chose. */
  readonly address: string;
  readonly startedAtMs: number;
  /** What it was started with, to see whether a later `leaf up` asks for something else. */
  readonly settings: Readonly<Record<string, string>>;
  /** What it runs from; absent in a record of a leaf that ran services from the checkout. */
  readonly version?: Version;
}

/** The life of a service of the stack. */
export interface LifeStatus {
  /** How often it died and was started again. */
  readonly restarts: number;
  /** How it ended last; empty if it never did. */
  readonly lastEnd: string;
  /** Milliseconds since the Unix epoch; 0 if it never ended. */
  readonly lastEndMs: number;
  /** It is started again if it dies. */
  readonly watched: boolean;
  /** It ended as it was asked to, by `leaf down` or by a signal. */
  readonly ended: boolean;
  /** It died too often in a row and is not started again. */
  readonly gaveUp: boolean;
  /** The last line of its own in its log, if it gave up. */
  readonly lastLine?: string;
}

/** The record of a service whose watcher was just started. */
export function newRecord(name: ServiceName, pid: number, given: Pick<ServiceRecord, "address" | "settings" | "version">): ServiceRecord {
  const startTicks = processStartTicks(pid) ?? "";
  return { name, pid, startTicks, bootId: bootId(), startedAtMs: Date.now(), ...given };
}

/** The record of a service, whether its process lives or not; `undefined` if there is none that can be read. */
export function readRecord(paths: StackPaths, name: ServiceName): ServiceRecord | undefined {
  try {
    return JSON.parse(readFileSync(paths.record(name), "utf8")) as ServiceRecord;
  } catch {
    return undefined;
  }
}

/** The record of a service that runs, or whose watcher starts it again. */
export function liveRecord(paths: StackPaths, name: ServiceName): ServiceRecord | undefined {
  const record = readRecord(paths, name);
  return record !== undefined && (isWatched(record) || servicePid(paths, record) !== undefined) ? record : undefined;
}

/** A service's watcher lives, so it is started again if it dies. */
export function isWatched(record: ServiceRecord): boolean {
  // The very process that was started: not another one that got its pid, not one of an earlier boot.
  return record.bootId === bootId() && isSameProcess(record.pid, record.startTicks);
}

/** The process of a service that runs; it outlives a watcher that was killed. */
export function servicePid(paths: StackPaths, record: ServiceRecord): number | undefined {
  const watch = record.bootId === bootId() ? readWatch(paths, record.name) : undefined;
  return watch !== undefined && isWatchedRunning(watch) ? watch.pid : undefined;
}

/** The life of a service; `undefined` if it was never started. */
export function readLife(paths: StackPaths, name: ServiceName): LifeStatus | undefined {
  const record = readRecord(paths, name);
  const watch = readWatch(paths, name);
  if (record === undefined || watch === undefined) return undefined;
  const { restarts, lastEnd, lastEndMs, state } = watch;
  const gaveUp = state === "gave-up";
  const lastLine = gaveUp ? ownLastLine(paths, name) : undefined;
  return {
    restarts,
    lastEnd,
    lastEndMs,
    watched: isWatched(record),
    ended: state === "ended",
    gaveUp,
    ...(lastLine === undefined ? {} : { lastLine }),
  };
}

/** What a service, not its watcher, wrote last: of a line of JSON its message. */
function ownLastLine(paths: StackPaths, name: ServiceName): string | undefined {
  const lines = lastLines(paths.log(name), SEARCHED_LINES).map((line) => parseObject(line) ?? { msg: line });
  const own = lines.findLast((fields) => fields["name"] !== WATCHER);
  return own === undefined ? undefined : String(own["msg"] ?? "");
}

/** What the stack runs from; `undefined` if nothing of it runs, or it does so from the checkout. */
export function runningVersion(paths: StackPaths): Version | undefined {
  const versions = knownServices(paths).map((name) => liveRecord(paths, name)?.version);
  return versions.find((version) => version !== undefined);
}

export function writeRecord(paths: StackPaths, record: ServiceRecord): void {
  writePrivate(paths.record(record.name), `${JSON.stringify(record)}\n`);
}

/** Remove what is known of services. */
export function removeRecords(paths: StackPaths, names: readonly ServiceName[]): void {
  for (const name of names) {
    rmSync(paths.record(name), { force: true });
    forgetWatch(paths, name);
  }
}

/** Changes with every boot, after which pids and start times repeat. Empty if the platform has none. */
function bootId(): string {
  try {
    return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  } catch {
    return "";
  }
}
