import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { create, equals, type MessageInitShape } from "@bufbuild/protobuf";
import { LeafState, MissedFires, type Schedule, ScheduleSchema } from "@serverless-harness/proto/leaf";
import type { LeafStore } from "../leaf-store.ts";
import { LONG_LEASE_MS, NEVER, recordOf, refused, specOf } from "./build.ts";
import type { Case } from "./types.ts";

const FIRST_MS = 1_000_000;

function scheduleOf(scheduleId: string, fields: MessageInitShape<typeof ScheduleSchema> = {}): Schedule {
  const tenant = fields.tenant ?? "acme";
  const base = { scheduleId, tenant, cron: "*/5 * * * *", timeZone: "UTC", spec: specOf({ tenant }), nextFireMs: BigInt(FIRST_MS) };
  return create(ScheduleSchema, { ...base, ...fields });
}

async function made(store: LeafStore, scheduleId: string, fields: MessageInitShape<typeof ScheduleSchema> = {}): Promise<Schedule> {
  return (await store.createSchedule(scheduleOf(scheduleId, fields))).schedule;
}

async function listed(store: LeafStore, tenant: string | undefined, limit: number): Promise<string[][]> {
  const pages: string[][] = [];
  let token: string | undefined = "";
  while (token !== undefined) {
    const page: Awaited<ReturnType<LeafStore["listSchedules"]>> = await store.listSchedules(tenant, limit, token);
    pages.push(page.schedules.map((schedule) => `${schedule.tenant}.${schedule.scheduleId}`));
    token = page.nextPageToken;
  }
  return pages;
}

const INVALID = {
  "no id": scheduleOf(""),
  "an id of 129 characters": scheduleOf("s".repeat(129)),
  "no tenant": scheduleOf("s", { tenant: "" }),
  "no expression": scheduleOf("s", { cron: "" }),
  "a time before the Unix epoch": scheduleOf("s", { nextFireMs: -1n }),
  "another tenant's leaf": scheduleOf("s", { spec: specOf({ tenant: "other" }) }),
};

export const scheduleCases: readonly Case[] = [
  [
    "a schedule is kept as it was made, with the store's time",
    async ({ store, connect }) => {
      const before = BigInt(Date.now());
      const { schedule, created } = await store.createSchedule(
        scheduleOf("s", { createdAtMs: 1n, fires: 7n, lastFireMs: 3n, lastLeafId: "x" }),
      );
      strictEqual(created, true);
      ok(schedule.createdAtMs >= before && schedule.createdAtMs <= BigInt(Date.now()));
      ok(equals(ScheduleSchema, schedule, scheduleOf("s", { createdAtMs: schedule.createdAtMs })));
      const other = await (await connect()).schedule("acme", "s");
      ok(other && equals(ScheduleSchema, other, schedule));
      strictEqual(await store.schedule("acme", "t"), undefined);
      strictEqual(await store.schedule("other", "s"), undefined);
    },
  ],
  [
    "the same schedule again is the one that is there, another one of its id is refused",
    async ({ store }) => {
      const first = await made(store, "s");
      await store.fire({ schedule: first, spec: specOf(), nextFireMs: FIRST_MS + 1 });
      const again = await store.createSchedule(scheduleOf("s"));
      deepStrictEqual([again.created, again.schedule.fires, again.schedule.nextFireMs], [false, 1n, BigInt(FIRST_MS + 1)]);
      const others = [
        { cron: "0 * * * *" },
        { timeZone: "Europe/Berlin" },
        { spec: specOf({ prompt: "else" }) },
        { missed: MissedFires.CATCH_UP },
      ];
      for (const other of others) await refused(store.createSchedule(scheduleOf("s", other)), "schedule_exists");
      strictEqual((await store.createSchedule(scheduleOf("s", { tenant: "other" }))).created, true);
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
      await made(store, "second", { nextFireMs: 2n });
      await made(store, "first", { nextFireMs: 1n });
      await made(store, "paused", { nextFireMs: 1n, paused: true });
      await made(store, "over", { nextFireMs: 0n });
      await made(store, "later", { nextFireMs: BigInt(later) });
      await made(store, "much later", { nextFireMs: BigInt(later + 1) });
      const { due, nextDueMs } = await store.dueSchedules(10);
      deepStrictEqual([due.map(({ scheduleId }) => scheduleId), nextDueMs], [["first", "second"], later]);
      deepStrictEqual((await store.dueSchedules(1)).due.length, 1);
    },
  ],
  [
    "a paused schedule makes no fires, and goes on with the time that is given",
    async ({ store, connect }) => {
      const schedule = await made(store, "s");
      strictEqual((await (await connect()).pauseSchedule("acme", "s", true, 0)).paused, true);
      deepStrictEqual((await store.dueSchedules(10)).due, []);
      strictEqual(await store.fire({ schedule, spec: specOf(), nextFireMs: FIRST_MS + 1 }), undefined);
      const resumed = await store.pauseSchedule("acme", "s", false, FIRST_MS + 5);
      deepStrictEqual([resumed.paused, resumed.nextFireMs], [false, BigInt(FIRST_MS + 5)]);
      strictEqual(await store.fire({ schedule, spec: specOf(), nextFireMs: FIRST_MS + 9 }), undefined);
      ok((await store.fire({ schedule: resumed, spec: specOf(), nextFireMs: FIRST_MS + 9 }))?.leaf);
      await refused(store.pauseSchedule("acme", "t", true, 0), "schedule_not_found");
    },
  ],
  [
    "a deleted schedule makes no fires, and its leaves stay",
    async ({ store }) => {
      const schedule = await made(store, "s");
      const fired = await store.fire({ schedule, spec: specOf(), nextFireMs: FIRST_MS + 1 });
      strictEqual(await store.deleteSchedule("acme", "s"), true);
      strictEqual(await store.deleteSchedule("acme", "s"), false);
      deepStrictEqual(await store.dueSchedules(10), { due: [] });
      strictEqual(await store.schedule("acme", "s"), undefined);
      const next = { ...schedule, nextFireMs: BigInt(FIRST_MS + 1) };
      strictEqual(await store.fire({ schedule: next, spec: specOf(), nextFireMs: FIRST_MS + 2 }), undefined);
      strictEqual((await recordOf(store, fired?.leaf?.leafId ?? "")).state, LeafState.QUEUED);
    },
  ],
  [
    "a fire submits its leaf under its own key and sets the schedule to the next one",
    async ({ store }) => {
      const schedule = await made(store, "s");
      const fired = await store.fire({ schedule, spec: specOf({ prompt: "now" }), nextFireMs: FIRST_MS + 300 });
      const after = await store.schedule("acme", "s");
      deepStrictEqual([after?.nextFireMs, after?.lastFireMs, after?.fires], [BigInt(FIRST_MS + 300), BigInt(FIRST_MS), 1n]);
      ok(fired?.leaf && after?.lastLeafId === fired.leaf.leafId);
      const same = await store.submit({ spec: specOf({ prompt: "now" }), idempotencyKey: `schedule:s:${FIRST_MS}` });
      deepStrictEqual([same.created, same.leaf.leafId], [false, fired.leaf.leafId]);
      strictEqual(await store.fire({ schedule, spec: specOf({ prompt: "now" }), nextFireMs: FIRST_MS + 300 }), undefined);
      strictEqual((await store.backlog()).ready, 1);
    },
  ],
  [
    "a fire that is left out submits nothing, and the last one leaves none",
    async ({ store }) => {
      const schedule = await made(store, "s");
      deepStrictEqual((await store.fire({ schedule, spec: undefined, nextFireMs: FIRST_MS + 1 }))?.leaf, undefined);
      const next = await store.schedule("acme", "s");
      deepStrictEqual([next?.nextFireMs, next?.fires, next?.lastLeafId], [BigInt(FIRST_MS + 1), 0n, ""]);
      ok(next && (await store.fire({ schedule: next, spec: specOf(), nextFireMs: 0 }))?.leaf);
      const over = await store.schedule("acme", "s");
      ok(over);
      deepStrictEqual(await store.dueSchedules(10), { due: [] });
      strictEqual(await store.fire({ schedule: over, spec: specOf(), nextFireMs: 5 }), undefined);
      strictEqual((await store.backlog()).ready, 1);
    },
  ],
  [
    "of many who make a fire at once, one does",
    async ({ store, connect }) => {
      const stores = [store, await connect(), await connect()];
      const schedule = await made(store, "s");
      const fires = await Promise.all(
        Array.from({ length: 12 }, async (_, i) => stores[i % 3]?.fire({ schedule, spec: specOf(), nextFireMs: FIRST_MS + 1 })),
      );
      strictEqual(fires.filter((fire) => fire !== undefined).length, 1);
      deepStrictEqual([(await store.schedule("acme", "s"))?.fires, (await store.backlog()).ready], [1n, 1]);
    },
  ],
  [
    "waiting workers in other processes learn of a fire",
    async ({ store, connect }) => {
      const schedule = await made(store, "s");
      const waiting = (await connect()).waitForWork(LONG_LEASE_MS, NEVER);
      await store.fire({ schedule, spec: specOf(), nextFireMs: FIRST_MS + 1 });
      await waiting;
    },
  ],
  ...Object.entries(INVALID).map(
    ([what, schedule]): Case => [
      `a schedule with ${what} is refused`,
      async ({ store }) => {
        await refused(store.createSchedule(schedule), "invalid_argument");
        deepStrictEqual(await listed(store, undefined, 10), [[]]);
      },
    ],
  ),
];
