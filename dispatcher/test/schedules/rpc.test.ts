import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import {
  FireOutcome,
  LeafSpecSchema,
  LeafState,
  MissedFires,
  OverlappingFires,
  type Schedule,
  ScheduleSchema,
  ScheduleService,
} from "@serverless-harness/proto/leaf";
import { describe, expect, test } from "vitest";
import { runDispatcher } from "../process.ts";
import { AUTHORIZED, newStore, openDoor, refusal, untilState } from "../support.ts";

/** What a test says of a schedule. */
type Said = Partial<Omit<Schedule, "$typeName" | "$unknown" | "spec">> & { spec?: MessageInitShape<typeof LeafSpecSchema> };

function scheduleOf({ spec = { prompt: "tidy up after __FIRE__" }, ...fields }: Said = {}): Schedule {
  const base = { scheduleId: "nightly", cron: "30 2 * * *", timeZone: "Europe/Berlin" };
  return create(ScheduleSchema, { ...base, ...fields, spec: create(LeafSpecSchema, spec) });
}

/** A schedule that was read, with a change. */
function withChange(schedule: Schedule | undefined, change: Said): Schedule {
  const { spec: _same, ...fields } = change;
  return create(ScheduleSchema, { ...(schedule ?? create(ScheduleSchema)), ...fields });
}

describe("a schedule", () => {
  test("is made, read, listed, changed, paused, resumed and deleted", async () => {
    const { schedules } = await openDoor();
    const made = await schedules.createSchedule({ schedule: scheduleOf() });
    expect(made).toMatchObject({
      created: true,
      schedule: {
        tenant: "default",
        revision: 1n,
        missed: MissedFires.SKIP,
        overlap: OverlappingFires.ALLOW,
        missedAfterMs: 60_000n,
        maxMissed: 10,
        spec: { tenant: "default", prompt: "tidy up after __FIRE__" },
      },
    });
    const { schedule } = made;
    expect(schedule?.upcomingMs).toHaveLength(5);
    expect(schedule?.upcomingMs[0]).toBe(schedule?.nextFireMs);
    expect(new Date(Number(schedule?.nextFireMs)).toLocaleTimeString("de", { timeZone: "Europe/Berlin" })).toBe("02:30:00");
    expect(await schedules.createSchedule({ schedule: scheduleOf() })).toEqual({ ...made, created: false });
    expect((await schedules.getSchedule({ scheduleId: "nightly" })).schedule).toEqual(schedule);
    expect((await schedules.listSchedules({})).schedules).toMatchObject([{ scheduleId: "nightly", upcomingMs: [] }]);

    const changed = await schedules.updateSchedule({ schedule: withChange(schedule, { cron: "0 3 * * *" }) });
    expect(changed.schedule).toMatchObject({ cron: "0 3 * * *", revision: 2n, createdAtMs: schedule?.createdAtMs });
    const paused = await schedules.pauseSchedule({ scheduleId: "nightly" });
    expect(paused.schedule).toMatchObject({ paused: true, revision: 3n, nextFireMs: 0n, upcomingMs: [] });
    expect(await schedules.pauseSchedule({ scheduleId: "nightly" })).toEqual(paused);
    const resumed = await schedules.resumeSchedule({ scheduleId: "nightly", revision: 3n });
    expect(resumed.schedule).toMatchObject({ paused: false, revision: 4n, nextFireMs: changed.schedule?.nextFireMs });
    await schedules.deleteSchedule({ scheduleId: "nightly" });
    expect(await refusal(schedules.getSchedule({ scheduleId: "nightly" }))).toMatchObject({
      code: Code.NotFound,
      reason: "schedule_not_found",
    });
  });

  test("is listed in pages, without what makes a page too large", async () => {
    const { schedules } = await openDoor();
    for (const scheduleId of ["a", "b", "c"]) await schedules.createSchedule({ schedule: scheduleOf({ scheduleId }) });
    const first = await schedules.listSchedules({ pageSize: 2 });
    const second = await schedules.listSchedules({ pageSize: 2, pageToken: first.nextPageToken });
    expect([first, second].map((page) => page.schedules.map(({ scheduleId }) => scheduleId))).toEqual([["a", "b"], ["c"]]);
    expect(second.nextPageToken).toBe("");
    expect((await schedules.listSchedules({ tenant: "other" })).schedules).toEqual([]);
    expect((await refusal(schedules.listSchedules({ pageSize: 201 }))).violations).toMatchObject([{ field: "page_size" }]);
  });

  test("that two people change at once loses the change of neither: the second is told", async () => {
    const { schedules } = await openDoor();
    const { schedule } = await schedules.createSchedule({ schedule: scheduleOf() });
    const edits = await Promise.allSettled(
      Array.from({ length: 50 }, async (_, hour) =>
        schedules.updateSchedule({ schedule: withChange(schedule, { cron: `${hour} 3 * * *` }) }),
      ),
    );
    const won = edits.flatMap((edit) => (edit.status === "fulfilled" ? [edit.value.schedule] : []));
    expect(won).toHaveLength(1);
    expect((await schedules.getSchedule({ scheduleId: "nightly" })).schedule).toEqual(won[0]);
    const stale = await refusal(schedules.updateSchedule({ schedule: withChange(schedule, { cron: "0 4 * * *" }) }));
    expect(stale).toMatchObject({ code: Code.Aborted, reason: "schedule_changed", metadata: { revision: "2" } });
    for (const call of [schedules.pauseSchedule, schedules.resumeSchedule, schedules.deleteSchedule])
      expect((await refusal(call({ scheduleId: "nightly", revision: 1n }))).reason).toBe("schedule_changed");
    const blind = await refusal(schedules.updateSchedule({ schedule: withChange(schedule, { revision: 0n }) }));
    expect(blind.violations).toMatchObject([{ field: "schedule.revision", description: "must be set: GetSchedule returns it" }]);
  });

  test("of another tenant is not there", async () => {
    const { schedules } = await openDoor();
    await schedules.createSchedule({ schedule: scheduleOf({ tenant: "acme" }) });
    const name = { tenant: "other", scheduleId: "nightly" };
    for (const call of [
      schedules.getSchedule,
      schedules.pauseSchedule,
      schedules.resumeSchedule,
      schedules.deleteSchedule,
      schedules.runSchedule,
    ])
      expect((await refusal(call(name))).reason).toBe("schedule_not_found");
    expect((await schedules.getSchedule({ ...name, tenant: "acme" })).schedule?.revision).toBe(1n);
  });

  test("is one of at most so many of its tenant, however many are made at once", async () => {
    const { schedules } = await openDoor({ mostSchedules: 3 });
    const made = await Promise.allSettled(
      Array.from({ length: 10 }, async (_, i) => schedules.createSchedule({ schedule: scheduleOf({ scheduleId: `s${i}` }) })),
    );
    expect(made.filter(({ status }) => status === "fulfilled")).toHaveLength(3);
    const refused = await refusal(schedules.createSchedule({ schedule: scheduleOf({ scheduleId: "more" }) }));
    expect(refused).toMatchObject({ code: Code.ResourceExhausted, reason: "too_many_schedules", metadata: { limit: "3" } });
    expect((await schedules.createSchedule({ schedule: scheduleOf({ tenant: "other" }) })).created).toBe(true);
  });
});

describe("bad input", () => {
  test.each<[string, Said, string[]]>([
    ["no id", { scheduleId: "" }, ["schedule.schedule_id"]],
    ["an id that is a path", { scheduleId: "../x" }, ["schedule.schedule_id"]],
    ["an id of 101 characters", { scheduleId: "s".repeat(101) }, ["schedule.schedule_id"]],
    ["a tenant that is no name", { tenant: "a/b" }, ["schedule.tenant"]],
    ["no expression", { cron: "" }, ["schedule.cron"]],
    ["an expression that never comes", { cron: "0 0 30 2 *" }, ["schedule.cron"]],
    ["an expression of two lines", { cron: "* * * * *\n" }, ["schedule.cron"]],
    ["a huge expression", { cron: `${"1,".repeat(200)}1 * * * *` }, ["schedule.cron"]],
    ["a zone that nobody knows", { timeZone: "Mars/Olympus" }, ["schedule.time_zone"]],
    ["a policy that nobody knows", { missed: 9 as MissedFires, overlap: 9 as OverlappingFires }, ["schedule.missed", "schedule.overlap"]],
    ["jitter of more than an hour", { jitterMs: 3_600_001n }, ["schedule.jitter_ms"]],
    ["negative bounds", { startMs: -1n, maxFires: -1n, maxMissed: -1 }, ["schedule.start_ms", "schedule.max_fires", "schedule.max_missed"]],
    ["an end before its start", { startMs: 9_999_999_999_999n, endMs: 9_999_999_999_998n }, ["schedule.end_ms"]],
    ["an end that is over", { endMs: 1n }, ["schedule.end_ms"]],
    ["a time after the last one", { startMs: 2n ** 62n }, ["schedule.start_ms"]],
    ["no patience", { missedAfterMs: 999n }, ["schedule.missed_after_ms"]],
    ["a leaf that is none", { spec: { prompt: " ", model: "x" } }, ["schedule.spec.prompt", "schedule.spec.model"]],
    ["a leaf of another tenant", { spec: { prompt: "x", tenant: "other" } }, ["schedule.spec.tenant"]],
    [
      "a session that is no name once the fire's id is in it",
      { spec: { prompt: "x", sessionId: `${"s".repeat(110)}__FIRE__` } },
      ["schedule.spec.session_id"],
    ],
  ])("as %s is refused, and every field of it is named", async (_what, fields, wrong) => {
    const { schedules } = await openDoor();
    const { code, violations } = await refusal(schedules.createSchedule({ schedule: scheduleOf(fields) }));
    expect({ code, fields: violations.map(({ field }) => field) }).toEqual({ code: Code.InvalidArgument, fields: wrong });
    expect((await schedules.listSchedules({})).schedules).toEqual([]);
  });

  test("as no schedule, no leaf or no id at all is refused by name", async () => {
    const { schedules } = await openDoor();
    expect((await refusal(schedules.createSchedule({}))).violations).toMatchObject([{ field: "schedule" }]);
    const bare = { scheduleId: "nightly", cron: "30 2 * * *" };
    expect((await refusal(schedules.createSchedule({ schedule: bare }))).violations).toMatchObject([{ field: "schedule.spec" }]);
    expect((await refusal(schedules.getSchedule({}))).violations).toMatchObject([{ field: "schedule_id" }]);
    const run = schedules.runSchedule({ scheduleId: "nightly", runId: "../x" });
    expect((await refusal(run)).violations).toMatchObject([{ field: "run_id" }]);
  });

  test("as a fork of a session that is not there is refused when the schedule is made", async () => {
    const { schedules } = await openDoor();
    const spec = { prompt: "x", fork: { sessionId: "nobody" } };
    expect((await refusal(schedules.createSchedule({ schedule: scheduleOf({ spec }) }))).reason).toBe("session_not_found");
  });
});

describe("a run that somebody asks for", () => {
  test("submits the leaf now, also while the schedule is paused, and its times stay", async () => {
    const { schedules, store } = await openDoor();
    const { schedule } = await schedules.createSchedule({ schedule: scheduleOf() });
    await schedules.pauseSchedule({ scheduleId: "nightly" });
    const { leaf, created, fireId } = await schedules.runSchedule({ scheduleId: "nightly", runId: "today" });
    expect({ created, fireId, prompt: leaf?.spec?.prompt }).toEqual({
      created: true,
      fireId: "nightly-run-today",
      prompt: "tidy up after nightly-run-today",
    });
    const again = await schedules.runSchedule({ scheduleId: "nightly", runId: "today" });
    expect([again.created, again.leaf?.leafId]).toEqual([false, leaf?.leafId]);
    const resumed = (await schedules.resumeSchedule({ scheduleId: "nightly" })).schedule;
    expect(resumed).toMatchObject({ fires: 0n, nextFireMs: schedule?.nextFireMs });
    expect(resumed?.recentFires).toMatchObject([{ fireId, leafId: leaf?.leafId, outcome: FireOutcome.SUBMITTED }]);
    await schedules.runSchedule({ scheduleId: "nightly" });
    await schedules.runSchedule({ scheduleId: "nightly" });
    expect((await store.list({ limit: 10 })).leaves).toHaveLength(3);
  });

  test("is refused as a submit is", async () => {
    const { schedules } = await openDoor();
    await schedules.createSchedule({ schedule: scheduleOf({ spec: { prompt: "x", sessionId: "gone", sessionMustExist: true } }) });
    expect((await refusal(schedules.runSchedule({ scheduleId: "nightly" }))).reason).toBe("session_not_found");
  });
});

test("without the token no RPC of schedules answers, and with it each speaks plain JSON", async () => {
  const { origin } = await openDoor();
  for (const { name } of ScheduleService.methods) {
    const url = `${origin}/${ScheduleService.typeName}/${name}`;
    const call = (headers: Record<string, string>) =>
      fetch(url, { method: "POST", headers: { "content-type": "application/json", connection: "close", ...headers }, body: "{}" });
    expect((await call({})).status).toBe(401);
    expect((await call(AUTHORIZED)).status).toBe(name === "ListSchedules" ? 200 : 400);
  }
});

test("a dispatcher that runs makes the fires when they come, and a brain is there for each", async () => {
  const opened = await newStore();
  const { schedules, child, exited } = await runDispatcher(opened);
  const schedule = scheduleOf({ scheduleId: "often", cron: "* * * * * *", maxFires: 2n, spec: { prompt: "hello __FIRE__" } });
  await schedules.createSchedule({ schedule });
  const seen = new Set<string>();
  while (seen.size < 2) {
    await opened.store.waitForWork(50, new AbortController().signal);
    for (const { leafId } of (await opened.store.list({ limit: 10 })).leaves) seen.add(leafId);
  }
  for (const leafId of seen) await untilState(opened.store, leafId, LeafState.DONE);
  const standing = (await schedules.getSchedule({ scheduleId: "often" })).schedule;
  expect(standing).toMatchObject({ fires: 2n, nextFireMs: 0n });
  const lateness = standing?.recentFires.map(({ atMs, fireMs }) => Number(atMs - fireMs)) ?? [];
  expect(Math.min(...lateness)).toBeGreaterThanOrEqual(0);
  child.kill("SIGTERM");
  expect(await exited).toMatchObject({ code: 0, stderr: "" });
});
