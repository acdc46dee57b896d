import type { ScheduleRecord } from "@serverless-harness/proto/store";

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
