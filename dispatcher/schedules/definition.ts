import { create } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { HarnessError } from "@serverless-harness/kit/errors";
import { Validation } from "@serverless-harness/kit/validate";
import {
  type LeafSpec,
  MissedFires,
  MissedFiresSchema,
  OverlappingFires,
  OverlappingFiresSchema,
  type Schedule,
  ScheduleSchema,
} from "@serverless-harness/proto/leaf";
import { validateEnvelope } from "../envelope.ts";
import { Cadence, cronProblem, MAX_CRON, timeZoneProblem } from "./cadence.ts";
import { fireIdAt, specOfFire } from "./fire-id.ts";

/** Every expression shows how close its fires come within so many. */
const FIRES_LOOKED_AT = 100;
const MAX_ID = 100;
const MAX_JITTER_MS = 3_600_000;
const [DEFAULT_MISSED_AFTER_MS, MIN_MISSED_AFTER_MS, MAX_MISSED_AFTER_MS] = [60_000, 1000, 7 * 24 * 3_600_000];
const [DEFAULT_MAX_MISSED, MAX_MISSED] = [10, 100];
/** The last time that every language that reads it can show. */
const MAX_TIME_MS = 253_402_300_799_999;

/**
 * Check what a caller says of a schedule by the rules of `schedule.proto`. Returns it with its defaults said, and without what the service sets;
 * INVALID_ARGUMENT lists every wrong field. `tenantFor`: the tenant that is meant by the one which the request names, or by none.
 */
export async function checkDefinition(
  given: Schedule | undefined,
  nowMs: number,
  tenantFor: (requested: string) => string,
): Promise<Schedule> {
  const schedule = given ?? create(ScheduleSchema);
  const v = new Validation();
  if (given === undefined) v.fail("schedule", "must be set: it says when to submit what");
  else await check(v, schedule, nowMs);
  v.done();
  const tenant = tenantFor(schedule.tenant);
  checkTenantOfSpec(schedule, tenant);
  const { scheduleId, cron, jitterMs, startMs, endMs, maxFires, spec } = schedule;
  return create(ScheduleSchema, {
    scheduleId,
    tenant,
    cron,
    timeZone: schedule.timeZone || "UTC",
    missed: schedule.missed || MissedFires.SKIP,
    overlap: schedule.overlap || OverlappingFires.ALLOW,
    jitterMs,
    startMs,
    endMs,
    maxFires,
    missedAfterMs: schedule.missedAfterMs || BigInt(DEFAULT_MISSED_AFTER_MS),
    maxMissed: schedule.maxMissed || DEFAULT_MAX_MISSED,
    ...(spec === undefined ? {} : { spec: { ...spec, tenant } }),
  });
}

/** RESOURCE_EXHAUSTED `limit_reached` if two of the next fires come sooner after each other than the tenant's schedules may. */
export function requireInterval({ cron, timeZone, startMs, endMs }: Schedule, nowMs: number, leastS: number): void {
  const times = new Cadence(cron, timeZone, { startMs: Number(startMs), endMs: Number(endMs) }).next(FIRES_LOOKED_AT, nowMs);
  const least = times.reduce((sum, time, i) => Math.min(sum, time - (times[i - 1] ?? Number.NEGATIVE_INFINITY)), Number.POSITIVE_INFINITY);
  if (least >= leastS * 1000) return;
  const limit = "tenant.schedule_interval_s";
  const text = `the tenant's schedules may fire every ${leastS} s at the most (${limit}), and two of these are ${least / 1000} s apart: choose another cron`;
  throw new HarnessError(Code.ResourceExhausted, "limit_reached", text, { metadata: { limit, value: String(leastS) } });
}

/** Note a schedule's id that is none. */
export function checkScheduleId(v: Validation, field: string, scheduleId: string): void {
  v.name(field, scheduleId);
  v.check(field, scheduleId.length <= MAX_ID, `must be at most ${MAX_ID} characters`);
}

async function check(v: Validation, schedule: Schedule, nowMs: number): Promise<void> {
  const { tenant, scheduleId, cron, timeZone, missed, overlap, startMs, endMs } = schedule;
  if (tenant !== "") v.name("schedule.tenant", tenant);
  checkScheduleId(v, "schedule.schedule_id", scheduleId);
  checkCron(v, cron, nowMs);
  const zone = timeZoneProblem(timeZone);
  if (zone !== undefined) v.fail("schedule.time_zone", zone);
  v.check("schedule.missed", MissedFiresSchema.value[missed] !== undefined, `must be ${names(MissedFiresSchema.values)}`);
  v.check("schedule.overlap", OverlappingFiresSchema.value[overlap] !== undefined, `must be ${names(OverlappingFiresSchema.values)}`);
  v.range("schedule.jitter_ms", schedule.jitterMs, 0, MAX_JITTER_MS);
  v.range("schedule.start_ms", startMs, 0, MAX_TIME_MS);
  v.range("schedule.end_ms", endMs, 0, MAX_TIME_MS);
  v.check("schedule.end_ms", endMs === 0n || endMs > startMs, "must be later than start_ms");
  v.check("schedule.end_ms", endMs === 0n || Number(endMs) > nowMs, "must be a time to come: it would never fire");
  v.range("schedule.max_fires", schedule.maxFires, 0, Number.MAX_SAFE_INTEGER);
  if (schedule.missedAfterMs !== 0n) v.range("schedule.missed_after_ms", schedule.missedAfterMs, MIN_MISSED_AFTER_MS, MAX_MISSED_AFTER_MS);
  v.range("schedule.max_missed", schedule.maxMissed, 0, MAX_MISSED);
  if (schedule.spec === undefined) v.fail("schedule.spec", "must be set: it says what each fire submits");
  else await checkSpec(v, schedule, schedule.spec, nowMs);
}

function checkCron(v: Validation, cron: string, nowMs: number): void {
  const field = "schedule.cron";
  const before = cron.length;
  v.characters(field, cron, 1, MAX_CRON);
  v.line(field, cron);
  if (before === 0 || before > MAX_CRON) return;
  const problem = cronProblem(cron, nowMs);
  if (problem !== undefined) v.fail(field, problem);
}

/** What a fire would submit has to be a leaf; the store checks that the session which it forks exists when there is one. */
async function checkSpec(v: Validation, { scheduleId }: Schedule, spec: LeafSpec, nowMs: number): Promise<void> {
  try {
    await validateEnvelope(specOfFire(spec, fireIdAt(scheduleId, nowMs)), "", (tenant) => tenant);
  } catch (error) {
    if (!(error instanceof HarnessError) || error.violations.length === 0) throw error;
    for (const { field, description } of error.violations) v.fail(`schedule.${field}`, description);
  }
}

/** Its leaves are its tenant's. */
function checkTenantOfSpec({ spec }: Schedule, tenant: string): void {
  const v = new Validation();
  v.check("schedule.spec.tenant", [undefined, "", tenant].includes(spec?.tenant), "must be the schedule's tenant, or be empty");
  v.done();
}

function names(values: ReadonlyArray<{ readonly name: string; readonly number: number }>): string {
  return `one of ${values
    .filter(({ number }) => number !== 0)
    .map(({ name }) => name)
    .join(", ")}`;
}
