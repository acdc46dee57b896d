import { readdirSync } from "node:fs";
import { parseJson } from "../json.ts";
import { readText } from "./log-file.ts";
import { SERVICES, type ServiceName, type StackPaths } from "./paths.ts";
import { writePrivate } from "./private-files.ts";

/** Most sandboxes of one stack. */
export const MAX_SANDBOXES = 32;

const RECORD = /^(s\d+)\.(?:json|watch)$/;

/** The services of a stack's sandboxes, the first one first. */
export function sandboxServices(count: number): ServiceName[] {
  return Array.from({ length: count }, (_, i) => (i === 0 ? "hands" : (`s${i + 1}` as const)));
}

/** A service is a sandbox. */
export function isSandbox(service: string): service is ServiceName {
  return service === "hands" || /^s\d+$/.test(service);
}

/** A sandbox's name in the pool. */
export function sandboxName(service: ServiceName): string {
  return service === "hands" ? "s1" : service;
}

/** Every service that was started and not forgotten since. */
export function knownServices({ run }: Pick<StackPaths, "run">): ServiceName[] {
  const more = listed(run).flatMap((file) => RECORD.exec(file)?.[1] ?? []) as ServiceName[];
  return [...SERVICES, ...new Set(more)];
}

/**
 * How many sandboxes a stack has; `undefined`: one, and no pool. It outlives `leaf down`: sessions are in those sandboxes. A stack that ever had
 * a pool keeps it, as the pool knows which copy of a session's files is the newest.
 */
export function readPoolSize({ pool }: Pick<StackPaths, "pool">): number | undefined {
  const list = parseJson(readText(pool) ?? "");
  return Array.isArray(list) && list.length > 0 ? list.length : undefined;
}

/** Tell the dispatcher, which looks at the file, which sandboxes there are. */
export function writePool(paths: StackPaths, count: number): void {
  const list = sandboxServices(count).map((service) => ({ name: sandboxName(service), address: `unix:${paths.sandbox(service).socket}` }));
  writePrivate(paths.pool, `${JSON.stringify(list)}\n`);
}

function listed(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}
