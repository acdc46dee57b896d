import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { type ScheduleRecord, ScheduleRecordSchema } from "@serverless-harness/proto/store";
import { pageTokenOfPair, pairOfPageToken } from "../contract/page-token.ts";
import {
  assertRoom,
  assertSameSchedule,
  checkPageSize,
  type DueSchedules,
  newRecord,
  nextVersion,
  scheduleOf,
} from "../contract/schedules.ts";
import type { Bytes, Connection } from "./connection.ts";

const READ = "SELECT record FROM harness_schedules WHERE tenant = ? AND schedule_id = ?";
const COUNT = "SELECT count(*) AS found FROM harness_schedules WHERE tenant = ?";
const INSERT = "INSERT INTO harness_schedules (tenant, schedule_id, version, due_ms, record) VALUES (?, ?, ?, ?, ?)";
const UPDATE = "UPDATE harness_schedules SET version = ?, due_ms = ?, record = ? WHERE tenant = ? AND schedule_id = ? AND version = ?";
const DELETE = "DELETE FROM harness_schedules WHERE tenant = ? AND schedule_id = ? AND version = ?";
const LIST = "SELECT record FROM harness_schedules WHERE (tenant, schedule_id) > (?, ?) ORDER BY tenant, schedule_id LIMIT ?";
const LIST_OF = "SELECT record FROM harness_schedules WHERE tenant = ? AND schedule_id > ? ORDER BY schedule_id LIMIT ?";
const DUE = `SELECT record FROM harness_schedules INDEXED BY harness_schedules_due
  WHERE due_ms > 0 AND due_ms <= ? ORDER BY due_ms, tenant, schedule_id LIMIT ?`;
const NEXT = "SELECT min(due_ms) AS due FROM harness_schedules INDEXED BY harness_schedules_due WHERE due_ms > 0 AND due_ms > ?";

type Stored = { record: Bytes };

/** Write a schedule, or find the same, inside the caller's transaction. */
export function createSchedule(
  connection: Connection,
  nowMs: number,
  record: ScheduleRecord,
  mostOfTenant: number,
): { record: ScheduleRecord; created: boolean } {
  const schedule = scheduleOf(record);
  const { tenant, scheduleId } = schedule;
  const standing = readSchedule(connection, tenant, scheduleId);
  if (standing !== undefined) {
    assertSameSchedule(standing, schedule);
    return { record: standing, created: false };
  }
  assertRoom(connection.one<{ found: number }>(COUNT, tenant)?.found ?? 0, mostOfTenant);
  const made = newRecord(record, nowMs);
  connection.run(INSERT, tenant, scheduleId, made.version, made.dueMs, toBinary(ScheduleRecordSchema, made));
  return { record: made, created: true };
}

/** A schedule, or `undefined`. */
export function readSchedule(connection: Connection, tenant: string, scheduleId: string): ScheduleRecord | undefined {
  const row = connection.one<Stored>(READ, tenant, scheduleId);
  return row === undefined ? undefined : recordOf(row);
}

/** A page of schedules by tenant and id, in the order of their bytes. */
export function listSchedules(
  connection: Connection,
  tenant: string | undefined,
  limit: number,
  pageToken = "",
): { schedules: ScheduleRecord[]; nextPageToken?: string } {
  checkPageSize(limit);
  const [afterTenant, afterId] = pageToken === "" ? ["", ""] : pairOfPageToken(pageToken, tenant);
  const [sql, first] = tenant === undefined ? [LIST, afterTenant] : [LIST_OF, tenant];
  const found = connection.all<Stored>(sql, first, afterId, limit + 1).map(recordOf);
  const schedules = found.slice(0, limit);
  const last = found.length > limit ? schedules.at(-1)?.schedule : undefined;
  return { schedules, ...(last === undefined ? {} : { nextPageToken: pageTokenOfPair(last.tenant, last.scheduleId, tenant) }) };
}

/** Write a record that was read and changed, inside the caller's transaction; `undefined` if another one stands by now. */
export function replaceSchedule(connection: Connection, record: ScheduleRecord): ScheduleRecord | undefined {
  const { tenant, scheduleId } = scheduleOf(record);
  const next = nextVersion(record);
  const bytes = toBinary(ScheduleRecordSchema, next);
  return connection.run(UPDATE, next.version, next.dueMs, bytes, tenant, scheduleId, record.version) > 0 ? next : undefined;
}

/** Forget a schedule that is as it was read, inside the caller's transaction. */
export function deleteSchedule(connection: Connection, record: ScheduleRecord): boolean {
  const { tenant, scheduleId } = scheduleOf(record);
  return connection.run(DELETE, tenant, scheduleId, record.version) > 0;
}

/** Schedules that are due at `nowMs`, the longest due first, and when the next one is. */
export function dueSchedules(connection: Connection, nowMs: number, limit: number): DueSchedules {
  checkPageSize(limit);
  const due = connection.all<Stored>(DUE, nowMs, limit).map(recordOf);
  const next = connection.one<{ due: number | null }>(NEXT, nowMs)?.due ?? undefined;
  return { due, nowMs, ...(next === undefined ? {} : { nextDueMs: next }) };
}

function recordOf({ record }: Stored): ScheduleRecord {
  return fromBinary(ScheduleRecordSchema, record);
}
