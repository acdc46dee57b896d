import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { type Leaf, type Schedule, ScheduleSchema } from "@serverless-harness/proto/leaf";
import { pageTokenOfPair, pairOfPageToken } from "../page-token.ts";
import { assertSameSchedule, checkFireTime, checkPageSize, checkSchedule, keyOfFire, newSchedule } from "../schedule-rules.ts";
import type { Fire } from "../schedules.ts";
import { scheduleNotFound } from "../store-errors.ts";
import type { Bytes, Connection } from "./connection.ts";
import { submitLeaf } from "./submit.ts";

const READ = "SELECT schedule FROM harness_schedules WHERE tenant = ? AND schedule_id = ?";
const WRITE = "INSERT OR REPLACE INTO harness_schedules (tenant, schedule_id, next_fire_ms, paused, schedule) VALUES (?, ?, ?, ?, ?)";
const DELETE = "DELETE FROM harness_schedules WHERE tenant = ? AND schedule_id = ?";
const LIST = "SELECT schedule FROM harness_schedules WHERE (tenant, schedule_id) > (?, ?) ORDER BY tenant, schedule_id LIMIT ?";
const LIST_OF = "SELECT schedule FROM harness_schedules WHERE tenant = ? AND schedule_id > ? ORDER BY schedule_id LIMIT ?";
const DUE = `SELECT schedule FROM harness_schedules INDEXED BY harness_schedules_due
  WHERE paused = 0 AND next_fire_ms > 0 AND next_fire_ms <= ? ORDER BY next_fire_ms, tenant, schedule_id LIMIT ?`;
const NEXT = `SELECT min(next_fire_ms) AS due FROM harness_schedules INDEXED BY harness_schedules_due
  WHERE paused = 0 AND next_fire_ms > 0 AND next_fire_ms > ?`;

type Stored = { schedule: Bytes };

/** Write a schedule, or find the same, inside the caller's transaction. */
export function createSchedule(connection: Connection, nowMs: number, schedule: Schedule): { schedule: Schedule; created: boolean } {
  checkSchedule(schedule);
  const standing = readSchedule(connection, schedule.tenant, schedule.scheduleId);
  if (standing === undefined) return { schedule: write(connection, newSchedule(schedule, nowMs)), created: true };
  assertSameSchedule(standing, schedule);
  return { schedule: standing, created: false };
}

/** A schedule, or `undefined`. */
export function readSchedule(connection: Connection, tenant: string, scheduleId: string): Schedule | undefined {
  const row = connection.one<Stored>(READ, tenant, scheduleId);
  return row === undefined ? undefined : fromBinary(ScheduleSchema, row.schedule);
}

/** A page of schedules by tenant and id, in the order of their bytes. */
export function listSchedules(
  connection: Connection,
  tenant: string | undefined,
  limit: number,
  pageToken = "",
): { schedules: Schedule[]; nextPageToken?: string } {
  checkPageSize(limit);
  const [afterTenant, afterId] = pageToken === "" ? ["", ""] : pairOfPageToken(pageToken, tenant);
  const [sql, first] = tenant === undefined ? [LIST, afterTenant] : [LIST_OF, tenant];
  const found = connection.all<Stored>(sql, first, afterId, limit + 1).map((row) => fromBinary(ScheduleSchema, row.schedule));
  const schedules = found.slice(0, limit);
  const last = found.length > limit ? schedules.at(-1) : undefined;
  return { schedules, ...(last === undefined ? {} : { nextPageToken: pageTokenOfPair(last.tenant, last.scheduleId, tenant) }) };
}

/** Stop a schedule's fires or let them go on, inside the caller's transaction. What is so already stays as it is. */
export function pauseSchedule(connection: Connection, tenant: string, scheduleId: string, paused: boolean, nextFireMs: number): Schedule {
  checkFireTime(nextFireMs);
  const schedule = readSchedule(connection, tenant, scheduleId);
  if (schedule === undefined) throw scheduleNotFound();
  if (schedule.paused === paused) return schedule;
  const next = paused ? schedule.nextFireMs : BigInt(Math.ceil(nextFireMs));
  return write(connection, create(ScheduleSchema, { ...schedule, paused, nextFireMs: next }));
}

/** Forget a schedule, inside the caller's transaction. */
export function deleteSchedule(connection: Connection, tenant: string, scheduleId: string): boolean {
  return connection.run(DELETE, tenant, scheduleId) > 0;
}

/** Schedules that are due at `nowMs`, the longest due first, and when the next one is. */
export function dueSchedules(connection: Connection, nowMs: number, limit: number): { due: Schedule[]; nextDueMs?: number } {
  checkPageSize(limit);
  const due = connection.all<Stored>(DUE, nowMs, limit).map((row) => fromBinary(ScheduleSchema, row.schedule));
  const next = connection.one<{ due: number | null }>(NEXT, nowMs)?.due ?? undefined;
  return { due, ...(next === undefined ? {} : { nextDueMs: next }) };
}

/** Make a fire that was not made yet, and set the schedule to the next one, inside the caller's transaction. */
export function fireSchedule(
  connection: Connection,
  nowMs: number,
  { schedule: { tenant, scheduleId, nextFireMs }, spec, nextFireMs: next }: Fire,
): { leaf?: Leaf } | undefined {
  checkFireTime(next);
  const standing = readSchedule(connection, tenant, scheduleId);
  if (standing === undefined || standing.paused || standing.nextFireMs === 0n || standing.nextFireMs !== nextFireMs) return undefined;
  const advanced = create(ScheduleSchema, { ...standing, nextFireMs: BigInt(Math.ceil(next)) });
  if (spec === undefined) {
    write(connection, advanced);
    return {};
  }
  const { leaf } = submitLeaf(connection, nowMs, { spec, idempotencyKey: keyOfFire(scheduleId, nextFireMs) });
  write(connection, create(ScheduleSchema, { ...advanced, lastFireMs: nextFireMs, lastLeafId: leaf.leafId, fires: standing.fires + 1n }));
  return { leaf };
}

function write(connection: Connection, schedule: Schedule): Schedule {
  const { tenant, scheduleId, nextFireMs, paused } = schedule;
  connection.run(WRITE, tenant, scheduleId, nextFireMs, paused ? 1 : 0, toBinary(ScheduleSchema, schedule));
  return schedule;
}
