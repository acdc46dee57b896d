import { readdirSync, readFileSync, rmSync } from "node:fs";
import { isSameProcess, processStartTicks } from "@serverless-harness/kit/proc";
import { SERVICES, type ServiceName, type StackPaths } from "./paths.ts";
import { writePrivate } from "./state-directory.ts";
import type { Version } from "./versions.ts";

/** A process of the stack, as `run/<name>.json` has it. */
export interface ServiceRecord {
  readonly name: ServiceName;
  readonly pid: number;
  /** With the pid and the boot it names the process for good. */
  readonly startTicks: string;
  readonly bootId: string;
  /** Where it is reached: `unix:/path` or `http://host:port`. Empty before it listens on a port that it chose. */
  readonly address: string;
  readonly startedAtMs: number;
  /** What it was started with, to tell whether a later `leaf up` asks for something else. */
  readonly settings: Readonly<Record<string, string>>;
  /** What it runs from; absent in a record of a leaf that ran services from the checkout. */
  readonly version?: Version;
}

/** A record of a process that was just started. */
export function newRecord(name: ServiceName, pid: number, given: Pick<ServiceRecord, "address" | "settings" | "version">): ServiceRecord {
  const startTicks = processStartTicks(pid) ?? "";
  return { name, pid, startTicks, bootId: bootId(), startedAtMs: Date.now(), ...given };
}

/** The record of a service, whether its process lives or not; `undefined` where there is none that can be read. */
export function readRecord(paths: StackPaths, name: ServiceName): ServiceRecord | undefined {
  try {
    return JSON.parse(readFileSync(paths.record(name), "utf8")) as ServiceRecord;
  } catch {
    return undefined;
  }
}

/** The record of a service whose process lives. */
export function liveRecord(paths: StackPaths, name: ServiceName): ServiceRecord | undefined {
  const record = readRecord(paths, name);
  return record !== undefined && isAlive(record) ? record : undefined;
}

/** The very process that was started still runs: not another one that got its pid, not one of an earlier boot. */
export function isAlive(record: ServiceRecord): boolean {
  return record.bootId === bootId() && isSameProcess(record.pid, record.startTicks);
}

/** What the stack runs from; `undefined` if nothing of it runs, or it does so from the checkout. */
export function runningVersion(paths: StackPaths): Version | undefined {
  const versions = SERVICES.map((name) => liveRecord(paths, name)?.version);
  return versions.find((version) => version !== undefined);
}

export function writeRecord(paths: StackPaths, record: ServiceRecord): void {
  writePrivate(paths.record(record.name), `${JSON.stringify(record)}\n`);
}

/** Remove every record. */
export function removeRecords(paths: StackPaths): void {
  let names: string[] = [];
  try {
    names = readdirSync(paths.run).filter((name) => name.endsWith(".json"));
  } catch {
    return;
  }
  for (const name of names) rmSync(`${paths.run}/${name}`, { force: true });
}

/** Changes with every boot, after which pids and start times begin anew. Empty where the platform has none. */
function bootId(): string {
  try {
    return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  } catch {
    return "";
  }
}
