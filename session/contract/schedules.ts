import { create } from "@bufbuild/protobuf";
import { Validation } from "@serverless-harness/kit/validate";
import { LeafSpecSchema, MissedFires, OverlappingFires, type Schedule, ScheduleSchema } from "@serverless-harness/proto/leaf";
import { type ScheduleRecord, ScheduleRecordSchema } from "@serverless-harness/proto/store";
import { scheduleExists, tooManySchedules } from "./errors.ts";
import { fingerprint } from "./fingerprint.ts";

/** Schedules that something is to be done for. */
export interface DueSchedules {
  /** Those whose `dueMs` has come, the longest due first. */
  readonly due: readonly ScheduleRecord[];
  /** When the next one of the others is due, milliseconds since the Unix epoch; absent: none is. */
  readonly nextDueMs?: number;
  /** The store's clock as it looked, milliseconds since the Unix epoch. */
  readonly nowMs: number;
}

/**
 * Schedules, by tenant and id. What is to be done when, the caller works out; the store sees to it that of all who read a record and write it changed
 * only one does. So each step of a schedule is taken once, whoever crashes or races.
 */
export interface Schedules {
  /**
   * Write a schedule. What the store keeps itself (version, creation time) is ignored in `record`. The same one again returns what is there, with
   * `created` false; another one of the same id is ALREADY_EXISTS `schedule_exists`. RESOURCE_EXHAUSTED `too_many_schedules` if the tenant has
   * `mostOfTenant` already.
   */
  createSchedule(record: ScheduleRecord, mostOfTenant: number): Promise<{ record: ScheduleRecord; created: boolean }>;
  /** A schedule, or `undefined`. */
  schedule(tenant: string, scheduleId: string): Promise<ScheduleRecord | undefined>;
  /** Schedules by tenant and id; all tenants' if `tenant` is undefined. `limit` 1 to 1000. */
  listSchedules(
    tenant: string | undefined,
    limit: number,
    pageToken?: string,
  ): Promise<{ schedules: ScheduleRecord[]; nextPageToken?: string }>;
  /**
   * Write a record that was read and changed. Returns it as it stands then, with its new version; `undefined`, and nothing is written, if another one
   * was written since it was read, or it was deleted.
   */
  replaceSchedule(record: ScheduleRecord): Promise<ScheduleRecord | undefined>;
  /** Forget a schedule if `record` is still what was read last. False, and nothing happens, if it is not. Its leaves stay. */
  deleteSchedule(record: ScheduleRecord): Promise<boolean>;
  /** Schedules that something is to be done for by the store's clock, at most `limit`, 1 to 1000. */
  dueSchedules(limit: number): Promise<DueSchedules>;
  /** The clock that decides what is due, milliseconds since the Unix epoch: every process that shares the store reads the same. */
  nowMs(): Promise<number>;
}

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

/** Throw INVALID_ARGUMENT if a page's size is out of range. */
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

/** Throw ALREADY_EXISTS `schedule_exists` if `schedule` says something else than the one that stands, whatever its fires did to that. */
export function assertSameSchedule(standing: ScheduleRecord, schedule: Schedule): void {
  if (standing.schedule === undefined || !definition(standing.schedule).equals(definition(schedule))) throw scheduleExists();
}

/** Throw RESOURCE_EXHAUSTED `too_many_schedules` if a tenant has as many as it may. */
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
