import { create } from "@bufbuild/protobuf";
import { Validation } from "@serverless-harness/kit/validate";
import { LeafSpecSchema, MissedFires, type Schedule, ScheduleSchema } from "@serverless-harness/proto/leaf";
import { fingerprint } from "./fingerprint.ts";
import { scheduleExists } from "./store-errors.ts";

/** Throw INVALID_ARGUMENT that names every field of a schedule that is out of its limits. Expression and time zone are the caller's to check. */
export function checkSchedule(schedule: Schedule): void {
  const validation = new Validation();
  validation.characters("schedule.schedule_id", schedule.scheduleId, 1, 128);
  validation.line("schedule.schedule_id", schedule.scheduleId);
  validation.characters("schedule.tenant", schedule.tenant, 1, 128);
  validation.characters("schedule.cron", schedule.cron, 1, 256);
  validation.characters("schedule.time_zone", schedule.timeZone, 0, 64);
  validation.range("schedule.next_fire_ms", schedule.nextFireMs, 0, Number.MAX_SAFE_INTEGER);
  validation.check("schedule.spec", schedule.spec !== undefined, "must be set");
  if (schedule.spec !== undefined) {
    validation.check("schedule.spec.tenant", schedule.spec.tenant === schedule.tenant, "must be the schedule's tenant");
  }
  validation.done();
}

/** Throw INVALID_ARGUMENT where a page's size is out of range. */
export function checkPageSize(limit: number): void {
  const validation = new Validation();
  validation.range("page_size", limit, 1, 1000);
  validation.done();
}

/** Throw INVALID_ARGUMENT where a time of a fire is none. */
export function checkFireTime(nextFireMs: number): void {
  const validation = new Validation();
  validation.range("next_fire_ms", nextFireMs, 0, Number.MAX_SAFE_INTEGER);
  validation.done();
}

/** A schedule as it is made: what the store keeps itself is at its beginning. */
export function newSchedule(schedule: Schedule, nowMs: number): Schedule {
  const createdAtMs = BigInt(Math.floor(nowMs));
  return create(ScheduleSchema, { ...schedule, createdAtMs, lastFireMs: 0n, lastLeafId: "", fires: 0n });
}

/** Throw ALREADY_EXISTS `schedule_exists` where `schedule` says something else than the one that stands, whatever its fires did to that. */
export function assertSameSchedule(standing: Schedule, schedule: Schedule): void {
  if (!definition(standing).equals(definition(schedule))) throw scheduleExists();
}

/** The idempotency key of a fire's leaf, in the tenant's key space. */
export function keyOfFire(scheduleId: string, fireMs: bigint): string {
  return `schedule:${scheduleId}:${fireMs}`;
}

function definition({ cron, timeZone, missed, spec }: Schedule): Buffer {
  const kind = missed === MissedFires.UNSPECIFIED ? MissedFires.SKIP : missed;
  const fields = Buffer.from(JSON.stringify([cron, timeZone || "UTC", kind]));
  return Buffer.concat([fields, fingerprint(spec ?? create(LeafSpecSchema))]);
}
