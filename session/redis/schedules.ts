import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { type ScheduleRecord, ScheduleRecordSchema } from "@serverless-harness/proto/store";
import { tooManySchedules } from "../contract/errors.ts";
import { pageTokenOfPair } from "../contract/page-token.ts";
import { assertSameSchedule, checkPageSize, type DueSchedules, newRecord, nextVersion, scheduleOf } from "../contract/schedules.ts";
import type { Database } from "./database.ts";
import { pairName, pairRange } from "./names.ts";
import { bytes, callId, list, type Reply, text } from "./scripts.ts";

/** Write a schedule, or find it. */
export async function createSchedule(
  database: Database,
  record: ScheduleRecord,
  mostOfTenant: number,
): Promise<{ record: ScheduleRecord; created: boolean }> {
  const schedule = scheduleOf(record);
  const { tenant, scheduleId } = schedule;
  const made = newRecord(record, await readClock(database));
  const range = [...pairRange(tenant, undefined), mostOfTenant];
  const args = [callId(), toBinary(ScheduleRecordSchema, made), made.version, made.dueMs, ...range];
  const [created, found] = list(await database.runSchedules("scheduleCreate", pairName(tenant, scheduleId), ...args));
  const standing = recordOf(found);
  if (standing === undefined) throw tooManySchedules(mostOfTenant);
  assertSameSchedule(standing, schedule);
  return { record: standing, created: text(created) === "1" };
}

/** A schedule, or `undefined`. */
export async function readSchedule(database: Database, tenant: string, scheduleId: string): Promise<ScheduleRecord | undefined> {
  return recordOf(list(await database.runSchedules("scheduleGet", pairName(tenant, scheduleId)))[0]);
}

/** Schedules by tenant and id. */
export async function listSchedules(database: Database, tenant: string | undefined, limit: number, pageToken?: string) {
  checkPageSize(limit);
  const [lowest, highest] = pairRange(tenant, pageToken);
  // One more than asked for tells whether there is another page.
  const found = list(await database.runSchedules("scheduleList", lowest, highest, limit + 1));
  const schedules = found.map(recordOf).filter((each) => each !== undefined);
  const last = schedules.length > limit ? schedules[limit - 1]?.schedule : undefined;
  return {
    schedules: schedules.slice(0, limit),
    ...(last === undefined ? {} : { nextPageToken: pageTokenOfPair(last.tenant, last.scheduleId, tenant) }),
  };
}

/** Write a record that was read and changed; `undefined` if another one stands by now. */
export async function replaceSchedule(database: Database, record: ScheduleRecord): Promise<ScheduleRecord | undefined> {
  const { tenant, scheduleId } = scheduleOf(record);
  const next = nextVersion(record);
  const args = [callId(), record.version, toBinary(ScheduleRecordSchema, next), next.version, next.dueMs];
  return text(await database.runSchedules("scheduleReplace", pairName(tenant, scheduleId), ...args)) === "1" ? next : undefined;
}

/** Forget a schedule that is as it was read. */
export async function deleteSchedule(database: Database, record: ScheduleRecord): Promise<boolean> {
  const { tenant, scheduleId } = scheduleOf(record);
  return text(await database.runSchedules("scheduleDelete", pairName(tenant, scheduleId), record.version)) === "1";
}

/** Schedules that something is to be done for. */
export async function dueSchedules(database: Database, limit: number): Promise<DueSchedules> {
  checkPageSize(limit);
  const [found, next, now] = list(await database.runSchedules("scheduleDue", limit));
  const due = list(found)
    .map(recordOf)
    .filter((each) => each !== undefined);
  return { due, nowMs: Number(text(now)), ...(text(next) === "" ? {} : { nextDueMs: Number(text(next)) }) };
}

/** The clock that schedules go by, in milliseconds: of the server that keeps them. */
export async function readClock(database: Database): Promise<number> {
  return Number(text(await database.runSchedules("scheduleClock")));
}

function recordOf(reply: Reply | undefined): ScheduleRecord | undefined {
  return Buffer.isBuffer(reply) ? fromBinary(ScheduleRecordSchema, bytes(reply)) : undefined;
}
