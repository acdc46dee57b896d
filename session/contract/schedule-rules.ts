import { create } from "@bufbuild/protobuf";
import { Validation } from "@serverless-harness/kit/validate";
import { LeafSpecSchema, MissedFires, OverlappingFires, type Schedule, ScheduleSchema } from "@serverless-harness/proto/leaf";
import { type ScheduleRecord, ScheduleRecordSchema } from "@serverless-harness/proto/store";
import { scheduleExists, tooManySchedules } from "./errors.ts";
import { fingerprint } from "./fingerprint.ts";

/** The schedule of a record. Throws INVALID_ARGUMENT that names every field that is out of its limits; what it means is the caller's to check. */
export function scheduleOf(record: ScheduleRecord): Schedule {
  const schedule = record.schedule ?? create(ScheduleSchema);
  const validation = new Validation();
  validation.characters("schedule.schedule_id", schedule.scheduleId, 1, 128);
  validation.line("schedule.schedule_id", schedule.scheduleId);
  validation.characters("schedule.tenant", schedule.tenant, 1, 128);
  validation.characters("schedule.cron", schedule.cron, 1, 256);
  validation.characters("schedule.time_zone", schedule.timeZone, 0, 64);
  validation.range("due_ms", record.dueMs, 0, Number.MAX_SAFE_INTEGER);
  validation.check("schedule.spec", schedule.spec !== undefined, "must be set");
  if (schedule.spec !== undefined) {
    validation.check("schedule.spec.tenant", schedule.spec.tenant === schedule.tenant, "must be the schedule's tenant");
  }
  validation.done();
  return schedule;
}

/** Throw INVALID_ARGUMENT where a page's size is out of range. */
export function checkPageSize(limit: number): void {
  const validation = new Validation();
  validation.range("page_size", limit, 1, 1000);
  validation.done();
}

/** A record as it is made. Versions begin with the time, so that those of a schedule that was deleted don't come back with another of its id. */
export function newRecord(record: ScheduleRecord, nowMs: number): ScheduleRecord {
  const createdAtMs = BigInt(Math.floor(nowMs));
  return create(ScheduleRecordSchema, {
    ...record,
    version: createdAtMs * 1000n,
    schedule: create(ScheduleSchema, { ...(record.schedule ?? create(ScheduleSchema)), createdAtMs }),
  });
}

/** A record that replaces the one of its version. */
export function nextVersion(record: ScheduleRecord): ScheduleRecord {
  return create(ScheduleRecordSchema, { ...record, version: record.version + 1n });
}

/** Throw ALREADY_EXISTS `schedule_exists` where `schedule` says something else than the one that stands, whatever its fires did to that. */
export function assertSameSchedule(standing: ScheduleRecord, schedule: Schedule): void {
  if (standing.schedule === undefined || !definition(standing.schedule).equals(definition(schedule))) throw scheduleExists();
}

/** Throw RESOURCE_EXHAUSTED `too_many_schedules` where a tenant has as many as it may. */
export function assertRoom(found: number, mostOfTenant: number): void {
  if (found >= mostOfTenant) throw tooManySchedules(mostOfTenant);
}

/** What a caller says of a schedule. */
function definition(schedule: Schedule): Buffer {
  const { cron, timeZone, missed, overlap, jitterMs, startMs, endMs, maxFires, missedAfterMs, maxMissed, spec } = schedule;
  const numbers = [jitterMs, startMs, endMs, maxFires, missedAfterMs || 60_000n, BigInt(maxMissed || 10)].map(String);
  const fields = [cron, timeZone || "UTC", missed || MissedFires.SKIP, overlap || OverlappingFires.ALLOW, ...numbers];
  return Buffer.concat([Buffer.from(JSON.stringify(fields)), fingerprint(spec ?? create(LeafSpecSchema))]);
}
