import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { type Leaf, type Schedule, ScheduleSchema } from "@serverless-harness/proto/leaf";
import { pageTokenOfPair } from "../page-token.ts";
import { assertSameSchedule, checkFireTime, checkPageSize, checkSchedule, keyOfFire } from "../schedule-rules.ts";
import type { Fire } from "../schedules.ts";
import { scheduleNotFound } from "../store-errors.ts";
import { callId } from "./calls.ts";
import type { Database } from "./database.ts";
import { pairName, pairRange } from "./pair-names.ts";
import { bytes, list, type Reply, text } from "./scripts.ts";
import { submitLeaf } from "./submit.ts";

/** Write a schedule, or find it. */
export async function createSchedule(database: Database, schedule: Schedule): Promise<{ schedule: Schedule; created: boolean }> {
  checkSchedule(schedule);
  const made = asMade(schedule);
  const args = [toBinary(ScheduleSchema, made), schedule.nextFireMs, schedule.paused ? "1" : "0"];
  const [created, found] = list(await database.runSchedules("create", pairName(schedule.tenant, schedule.scheduleId), ...args));
  const standing = scheduleOf(found);
  if (standing === undefined) throw new Error(`the leaf store's Redis wrote schedule ${schedule.scheduleId} and does not show it`);
  assertSameSchedule(standing, schedule);
  return { schedule: standing, created: text(created) === "1" };
}

/** A schedule, or `undefined`. */
export async function readSchedule(database: Database, tenant: string, scheduleId: string): Promise<Schedule | undefined> {
  return scheduleOf(list(await database.runSchedules("get", pairName(tenant, scheduleId)))[0]);
}

/** Schedules by tenant and id. */
export async function listSchedules(database: Database, tenant: string | undefined, limit: number, pageToken?: string) {
  checkPageSize(limit);
  const [lowest, highest] = pairRange(tenant, pageToken);
  // One more than asked for tells whether there is another page.
  const found = list(await database.runSchedules("list", lowest, highest, limit + 1));
  const schedules = found.flatMap((each, i) => (i % 2 === 1 ? [scheduleOf(each)] : [])).filter((each) => each !== undefined);
  const last = schedules.length > limit ? schedules[limit - 1] : undefined;
  return {
    schedules: schedules.slice(0, limit),
    ...(last === undefined ? {} : { nextPageToken: pageTokenOfPair(last.tenant, last.scheduleId, tenant) }),
  };
}

/** Stop a schedule's fires, or let them go on. */
export async function pauseSchedule(
  database: Database,
  tenant: string,
  scheduleId: string,
  paused: boolean,
  nextFireMs: number,
): Promise<Schedule> {
  checkFireTime(nextFireMs);
  const found = scheduleOf(await database.runSchedules("pause", pairName(tenant, scheduleId), paused ? "1" : "0", nextFireMs));
  if (found === undefined) throw scheduleNotFound();
  return found;
}

/** Forget a schedule. */
export async function deleteSchedule(database: Database, tenant: string, scheduleId: string): Promise<boolean> {
  return text(await database.runSchedules("delete", pairName(tenant, scheduleId))) === "1";
}

/** Schedules whose next fire is due. */
export async function dueSchedules(database: Database, limit: number): Promise<{ due: Schedule[]; nextDueMs?: number }> {
  checkPageSize(limit);
  const [found, next] = list(await database.runSchedules("due", limit));
  const due = list(found)
    .map(scheduleOf)
    .filter((each) => each !== undefined);
  return { due, ...(text(next) === "" ? {} : { nextDueMs: Number(text(next)) }) };
}

/**
 * Make a fire: it is begun, its leaf is written under a key of its own, and the schedule goes to the next one. Each step can be repeated, so whoever
 * comes behind one that was killed between two of them finishes the fire, and no leaf is made twice.
 */
export async function fireSchedule(database: Database, { schedule, spec, nextFireMs }: Fire): Promise<{ leaf?: Leaf } | undefined> {
  checkFireTime(nextFireMs);
  const { tenant, scheduleId, nextFireMs: fireMs } = schedule;
  const [name, call] = [pairName(tenant, scheduleId), callId()];
  if (text(await database.runSchedules("fire", name, fireMs, "", "", call)) !== "1") return undefined;
  const idempotencyKey = keyOfFire(scheduleId, fireMs);
  const leaf = spec === undefined ? undefined : (await submitLeaf(database, { spec, idempotencyKey })).leaf;
  const made = text(await database.runSchedules("fire", name, fireMs, nextFireMs, leaf?.leafId ?? "", call)) === "1";
  if (!made) return undefined;
  return leaf === undefined ? {} : { leaf };
}

/** A schedule without what the store keeps of it. */
function asMade({ scheduleId, tenant, cron, timeZone, spec, missed }: Schedule): Schedule {
  return create(ScheduleSchema, { scheduleId, tenant, cron, timeZone, missed, ...(spec === undefined ? {} : { spec }) });
}

/** What a script showed of a schedule; `undefined` where there is none. */
function scheduleOf(reply: Reply | undefined): Schedule | undefined {
  const [made, paused, next, created, last, leaf, fires] = list(reply ?? []);
  if (!Buffer.isBuffer(made)) return undefined;
  const number = (value: Reply | undefined): bigint => BigInt(text(value) || 0);
  return create(ScheduleSchema, {
    ...fromBinary(ScheduleSchema, bytes(made)),
    paused: text(paused) === "1",
    nextFireMs: number(next),
    createdAtMs: number(created),
    lastFireMs: number(last),
    lastLeafId: text(leaf),
    fires: number(fires),
  });
}
