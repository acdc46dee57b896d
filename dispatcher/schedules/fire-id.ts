import { createHash } from "node:crypto";
import { fromJson, type JsonValue, toJson } from "@bufbuild/protobuf";
import { type LeafSpec, LeafSpecSchema, type Schedule } from "@serverless-harness/proto/leaf";

/** What stands for a fire's id in a spec. */
const PLACEHOLDER = "__FIRE__";

/** The id of the fire that the expression makes at a time, as `nightly-20261130T020000Z`: it may be part of a session's name. */
export function fireIdAt(scheduleId: string, fireMs: number): string {
  return `${scheduleId}-${new Date(fireMs)
    .toISOString()
    .replace(/\.\d+Z$/, "Z")
    .replaceAll(/[-:]/g, "")}`;
}

/** The id of a fire that somebody asked for. */
export function fireIdOfRun(scheduleId: string, runId: string): string {
  return `${scheduleId}-run-${runId}`;
}

/** The idempotency key of the leaf of the fire at a time, in the tenant's key space. */
export function keyOfFire(scheduleId: string, fireMs: bigint): string {
  return `schedule:${scheduleId}:${fireMs}`;
}

/** The idempotency key of the leaf of a fire that somebody asked for. */
export function keyOfRun(scheduleId: string, runId: string): string {
  return `schedule:${scheduleId}:run:${runId}`;
}

/** What a fire submits: the spec, with the fire's id in all of its texts. Names of fields, labels and properties stay, and so does the tenant. */
export function specOfFire(spec: LeafSpec, fireId: string): LeafSpec {
  const filled = fromJson(LeafSpecSchema, replaced(toJson(LeafSpecSchema, spec), fireId));
  filled.tenant = spec.tenant;
  return filled;
}

/** How much later than its time a fire is made, in milliseconds: the same whoever asks, and spread over all fires. */
export function jitterOf({ tenant, scheduleId, jitterMs }: Schedule, fireMs: number): number {
  if (jitterMs === 0n) return 0;
  const hash = createHash("sha256").update(`${tenant}/${scheduleId}/${fireMs}`).digest();
  return Number(hash.readBigUInt64BE() % (jitterMs + 1n));
}

function replaced(value: JsonValue, fireId: string): JsonValue {
  if (typeof value === "string") return value.replaceAll(PLACEHOLDER, () => fireId);
  if (Array.isArray(value)) return value.map((each) => replaced(each, fireId));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, replaced(each, fireId)]));
}
