import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { create, equals, type MessageInitShape } from "@bufbuild/protobuf";
import { LeafState, MissedFires, OverlappingFires, ScheduleSchema } from "@serverless-harness/proto/leaf";
import { type ScheduleRecord, ScheduleRecordSchema } from "@serverless-harness/proto/store";
import type { LeafStore } from "../contract/leaf-store.ts";
import { LONG_LEASE_MS, recordOf, refused, specOf } from "./build.ts";
import type { Case } from "./types.ts";

/** More than any case makes. */
const MANY = 1000;

type ScheduleFields = MessageInitShape<typeof ScheduleSchema>;

function newRecord(scheduleId: string, fields: ScheduleFields = {}, dueMs = 1n): ScheduleRecord {
  const tenant = fields.tenant ?? "acme";
  const schedule = create(ScheduleSchema, {
    scheduleId,
    tenant,
    cron: "*/5 * * * *",
    timeZone: "UTC",
    spec: specOf({ tenant }),
    ...fields,
  });
  return create(ScheduleRecordSchema, { schedule, dueMs });
}

async function made(store: LeafStore, scheduleId: string, fields: ScheduleFields = {}, dueMs = 1n): Promise<ScheduleRecord> {
  return (await store.createSchedule(newRecord(scheduleId, fields, dueMs), MANY)).record;
}

/** What was read, with one fire more, and due at another time. */
function fired(record: ScheduleRecord, dueMs = 2n): ScheduleRecord {
  const schedule = create(ScheduleSchema, { ...(record.schedule ?? create(ScheduleSchema)), fires: (record.schedule?.fires ?? 0n) + 1n });
  return create(ScheduleRecordSchema, { ...record, schedule, dueMs });
}

function idsOf(records: readonly ScheduleRecord[]): string[] {
  return records.map(({ schedule }) => schedule?.scheduleId ?? "");
}

async function listed(store: LeafStore, tenant: string | undefined, limit: number): Promise<string[][]> {
  const pages: string[][] = [];
  let token: string | undefined = "";
  while (token !== undefined) {
    const page: Awaited<ReturnType<LeafStore["listSchedules"]>> = await store.listSchedules(tenant, limit, token);
    pages.push(page.schedules.map(({ schedule }) => `${schedule?.tenant}.${schedule?.scheduleId}`));
    token = page.nextPageToken;
  }
  return pages;
}

const INVALID = {
  "no id": newRecord(""),
  "an id of 129 characters": newRecord("s".repeat(129)),
  "no tenant": newRecord("s", { tenant: "" }),
  "no expression": newRecord("s", { cron: "" }),
  "a time before the Unix epoch": newRecord("s", {}, -1n),
  "another tenant's leaf": newRecord("s", { spec: specOf({ tenant: "other" }) }),
};

export const scheduleCases: readonly Case[] = [
  [
    "a schedule is kept as it was made, with the store's time",
    async ({ store, connect }) => {
      const before = BigInt(await store.nowMs());
      const { record, created } = await store.createSchedule(newRecord("s", { createdAtMs: 1n, fires: 7n }), MANY);
      strictEqual(created, true);
      const createdAtMs = record.schedule?.createdAtMs ?? 0n;
      ok(createdAtMs >= before && createdAtMs <= BigInt(await store.nowMs()));
      const expected = create(ScheduleRecordSchema, { ...newRecord("s", { createdAtMs, fires: 7n }), version: record.version });
      ok(equals(ScheduleRecordSchema, record, expected));
      const other = await (await connect()).schedule("acme", "s");
      ok(other && equals(ScheduleRecordSchema, other, record));
      strictEqual(await store.schedule("acme", "t"), undefined);
      strictEqual(await store.schedule("other", "s"), undefined);
    },
  ],
  [
    "the same schedule again is the one that is there, another one of its id is refused",
    async ({ store }) => {
      await store.replaceSchedule(fired(await made(store, "s")));
      const again = await store.createSchedule(newRecord("s", { overlap: OverlappingFires.ALLOW, missedAfterMs: 60_000n }), MANY);
      deepStrictEqual([again.created, again.record.schedule?.fires, again.record.dueMs], [false, 1n, 2n]);
      const others: ScheduleFields[] = [
        { cron: "0 * * * *" },
        { timeZone: "Europe/Berlin" },
        { spec: specOf({ prompt: "else" }) },
        { missed: MissedFires.CATCH_UP },
        { overlap: OverlappingFires.SKIP },
        { jitterMs: 1n },
        { startMs: 1n },
        { endMs: 1n },
        { maxFires: 1n },
        { missedAfterMs: 1000n },
        { maxMissed: 1 },
      ];
      for (const other of others) await refused(store.createSchedule(newRecord("s", other), MANY), "schedule_exists");
      strictEqual((await store.createSchedule(newRecord("s", { tenant: "other" }), MANY)).created, true);
    },
  ],
  [
    "a tenant has at most as many schedules as it may, however many are made at once",
    async ({ store, connect }) => {
      const stores = [store, await connect(), await connect()];
      const ids = Array.from({ length: 9 }, (_, i) => `s${i}`);
      const results = await Promise.allSettled(ids.map(async (id, i) => stores[i % 3]?.createSchedule(newRecord(id), 4)));
      strictEqual(results.filter(({ status }) => status === "fulfilled").length, 4);
      await refused(store.createSchedule(newRecord("more"), 4), "too_many_schedules");
      const [standing] = (await store.listSchedules("acme", 1)).schedules;
      strictEqual((await store.createSchedule(newRecord(standing?.schedule?.scheduleId ?? ""), 4)).created, false);
      strictEqual((await store.createSchedule(newRecord("s", { tenant: "acme2" }), 4)).created, true);
      ok(standing && (await store.deleteSchedule(standing)));
      strictEqual((await store.createSchedule(newRecord("more"), 4)).created, true);
    },
  ],
  [
    "schedules are listed by tenant and id, in pages",
    async ({ store }) => {
      for (const tenant of ["b", "a", "ab"]) for (const id of ["2", "10", "1"]) await made(store, id, { tenant });
      const all = ["a.1", "a.10", "a.2", "ab.1", "ab.10", "ab.2", "b.1", "b.10", "b.2"];
      deepStrictEqual(await listed(store, undefined, 4), [all.slice(0, 4), all.slice(4, 8), all.slice(8)]);
      deepStrictEqual(await listed(store, undefined, 9), [all]);
      deepStrictEqual(await listed(store, "a", 2), [["a.1", "a.10"], ["a.2"]]);
      deepStrictEqual(await listed(store, "nobody", 2), [[]]);
      await refused(store.listSchedules(undefined, 2, "nonsense"), "invalid_argument");
      for (const limit of [0, 1001]) await refused(store.listSchedules(undefined, limit), "invalid_argument");
    },
  ],
  [
    "schedules that are due come the longest due first, and the next time is told",
    async ({ store }) => {
      const later = Date.now() + LONG_LEASE_MS;
      strictEqual((await store.dueSchedules(10)).nextDueMs, undefined);
      await made(store, "second", {}, 2n);
      await made(store, "first", {}, 1n);
      await made(store, "never", {}, 0n);
      await made(store, "later", {}, BigInt(later));
      await made(store, "much later", {}, BigInt(later + 1));
      const { due, nextDueMs } = await store.dueSchedules(10);
      deepStrictEqual([idsOf(due), nextDueMs], [["first", "second"], later]);
      deepStrictEqual((await store.dueSchedules(1)).due.length, 1);
      for (const limit of [0, 1001]) await refused(store.dueSchedules(limit), "invalid_argument");
    },
  ],
  [
    "what is due is told with the clock that decides it",
    async ({ store }) => {
      const before = await store.nowMs();
      const { nowMs } = await store.dueSchedules(1);
      ok(before <= nowMs && nowMs <= (await store.nowMs()));
    },
  ],
  [
    "a record that is written is due when it says",
    async ({ store, connect }) => {
      const later = BigInt(Date.now() + LONG_LEASE_MS);
      const first = await store.replaceSchedule(fired(await made(store, "s"), later));
      deepStrictEqual(await store.dueSchedules(10).then(({ due, nextDueMs }) => [due, nextDueMs]), [[], Number(later)]);
      const second = first && (await (await connect()).replaceSchedule(fired(first, 1n)));
      deepStrictEqual(idsOf((await store.dueSchedules(10)).due), ["s"]);
      ok(second && (await store.replaceSchedule(fired(second, 0n))));
      const { due, nextDueMs } = await store.dueSchedules(10);
      deepStrictEqual([due, nextDueMs], [[], undefined]);
      strictEqual((await store.schedule("acme", "s"))?.schedule?.fires, 3n);
    },
  ],
  [
    "of many who write what they read, one does, and nothing of the others",
    async ({ store, connect }) => {
      const stores = [store, await connect(), await connect()];
      const record = await made(store, "s");
      const written = await Promise.all(Array.from({ length: 12 }, async (_, i) => stores[i % 3]?.replaceSchedule(fired(record))));
      const [winner, ...more] = written.filter((each) => each !== undefined);
      const standing = await store.schedule("acme", "s");
      ok(winner && standing && equals(ScheduleRecordSchema, standing, winner));
      deepStrictEqual([more, standing.schedule?.fires], [[], 1n]);
      strictEqual(await store.replaceSchedule(fired(record)), undefined);
      strictEqual(await store.deleteSchedule(record), false);
    },
  ],
  [
    "a deleted schedule is not written again, nor is another one that takes its id, and its leaves stay",
    async ({ store }) => {
      const record = await made(store, "s");
      const { leaf } = await store.submit({ spec: specOf(), idempotencyKey: "schedule:s:1" });
      strictEqual(await store.deleteSchedule(record), true);
      strictEqual(await store.deleteSchedule(record), false);
      deepStrictEqual((await store.dueSchedules(10)).due, []);
      strictEqual(await store.schedule("acme", "s"), undefined);
      strictEqual(await store.replaceSchedule(fired(record)), undefined);
      await made(store, "s");
      strictEqual(await store.replaceSchedule(fired(record)), undefined);
      strictEqual((await store.schedule("acme", "s"))?.schedule?.fires, 0n);
      strictEqual((await recordOf(store, leaf.leafId)).state, LeafState.QUEUED);
    },
  ],
  ...Object.entries(INVALID).map(
    ([what, record]): Case => [
      `a schedule with ${what} is refused`,
      async ({ store }) => {
        await refused(store.createSchedule(record, MANY), "invalid_argument");
        deepStrictEqual(await listed(store, undefined, 10), [[]]);
      },
    ],
  ),
];
