import { create } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { HarnessError } from "@serverless-harness/kit/errors";
import { LeafResultSchema, LeafState, MissedFires, OverlappingFires } from "@serverless-harness/proto/leaf";
import type { LeafStore } from "@serverless-harness/session";
import { describe, expect, test } from "vitest";
import { OPERATOR } from "../../callers/caller.ts";
import { Cadence } from "../../schedules/cadence.ts";
import { jitterOf } from "../../schedules/fire-id.ts";
import { claimed } from "../support.ts";
import { scheduleOf, storeUrls, World } from "./world.ts";

const HOUR_MS = 3_600_000;
const urls = storeUrls();

describe.each(["SQLite", "Redis"] as const)("on %s, with two dispatchers that do the same at once,", (kind) => {
  const open = async (at = "2026-11-30T10:30:00Z"): Promise<World> => await World.open(await urls[kind](), at);

  test("each fire makes one leaf, under its own key and with its id in the spec", async () => {
    const world = await open();
    await world.create(scheduleOf({}, { sessionId: "run-__FIRE__" }));
    await world.at("2026-11-30T10:59:59.999Z");
    expect(await world.prompts()).toEqual([]);
    for (const time of ["2026-11-30T11:00:00Z", "2026-11-30T11:00:01Z", "2026-11-30T12:00:00Z"]) await world.at(time);
    expect(await world.prompts()).toEqual(["at s-20261130T110000Z", "at s-20261130T120000Z"]);
    const [last] = await world.leaves();
    expect(last?.spec).toMatchObject({ tenant: "acme", sessionId: "run-s-20261130T120000Z" });
    const { spec } = last ?? {};
    if (spec === undefined) throw new Error("no leaf");
    const fireMs = Date.parse("2026-11-30T12:00:00Z");
    expect(await world.store.submit({ spec, idempotencyKey: `schedule:s:${fireMs}` })).toMatchObject({ created: false });
    expect(await world.schedule()).toMatchObject({
      fires: 2n,
      lastFireMs: BigInt(fireMs),
      lastLeafId: last?.leafId,
      nextFireMs: BigInt(fireMs + HOUR_MS),
      upcomingMs: [1, 2, 3, 4, 5].map((hours) => BigInt(fireMs + hours * HOUR_MS)),
      recentFires: [{ leafId: last?.leafId, atMs: BigInt(fireMs) }, { fireId: "s-20261130T110000Z" }],
    });
  });

  test("the fires of a year are those that the expression names, through every change of the clocks", async () => {
    const world = await open("2026-01-01T00:00:00Z");
    const fields = { cron: "30 2,14 * * SUN", timeZone: "Europe/Berlin" };
    await world.create(scheduleOf(fields));
    const end = Date.parse("2027-01-01T00:00:00Z");
    const expected: string[] = [];
    const cadence = new Cadence(fields.cron, fields.timeZone);
    for (let time = cadence.after(world.nowMs); time !== undefined && time < end; time = cadence.after(time)) {
      await world.at(time);
      expected.push(`at s-${new Date(time).toISOString().replace(/\.000|[-:]/g, "")}`);
    }
    expect(expected).toHaveLength(104);
    expect(await world.prompts()).toEqual(expected);
  });

  test("fires that nobody could make in time are left out", async () => {
    const world = await open();
    await world.create(scheduleOf({ missed: MissedFires.SKIP }));
    await world.at("2026-12-30T10:30:00Z");
    expect(await world.fires()).toEqual(["20261130T110000Z missed"]);
    await world.at("2026-12-30T11:00:59Z");
    expect(await world.prompts()).toEqual(["at s-20261230T110000Z"]);
  });

  test("or are made up for by the last of them", async () => {
    const world = await open();
    await world.create(scheduleOf({ missed: MissedFires.CATCH_UP }));
    await world.at("2026-12-30T10:30:00Z");
    expect(await world.fires()).toEqual(["20261130T110000Z missed", "20261230T100000Z submitted"]);
    expect((await world.schedule()).nextFireMs).toBe(BigInt(Date.parse("2026-12-30T11:00:00Z")));
  });

  test("or are each made, the earliest first, up to the bound", async () => {
    const world = await open();
    await world.create(scheduleOf({ missed: MissedFires.ALL, maxMissed: 3 }));
    await world.at("2026-11-30T13:30:00Z");
    expect(await world.fires()).toEqual(["110000Z", "120000Z", "130000Z"].map((time) => `20261130T${time} submitted`));
    await world.at("2026-12-01T20:30:00Z");
    const more = ["20261130T140000Z missed", ...["180000Z", "190000Z", "200000Z"].map((time) => `20261201T${time} submitted`)];
    expect((await world.fires()).slice(3)).toEqual(more);
    expect(await world.prompts()).toHaveLength(6);
  });

  test("a fire that comes a little late is made and not missed, and how late is for the caller to say", async () => {
    const world = await open();
    await world.create(scheduleOf({ scheduleId: "short", missedAfterMs: 1000n }));
    await world.create(scheduleOf({ scheduleId: "long", missedAfterMs: BigInt(2 * HOUR_MS) }));
    await world.at("2026-11-30T11:00:01.001Z");
    expect([await world.fires("short"), await world.fires("long")]).toEqual([["20261130T110000Z missed"], ["20261130T110000Z submitted"]]);
    await world.at("2026-11-30T13:30:00Z");
    expect(await world.fires("long")).toEqual(["110000Z", "120000Z", "130000Z"].map((time) => `20261130T${time} submitted`));
  });

  test("while a leaf of an earlier fire is not over, a fire is made all the same, is left out, or waits, as its schedule says", async () => {
    const world = await open();
    const policies = { allow: OverlappingFires.ALLOW, skip: OverlappingFires.SKIP, queue: OverlappingFires.QUEUE };
    for (const [scheduleId, overlap] of Object.entries(policies)) await world.create(scheduleOf({ scheduleId, overlap }));
    for (const hour of [11, 12, 13]) await world.at(`2026-11-30T${hour}:00:00Z`);
    expect((await world.fires("allow")).map((fire) => fire.slice(17))).toEqual(["submitted", "submitted", "submitted"]);
    expect((await world.fires("skip")).map((fire) => fire.slice(17))).toEqual(["submitted", "overlap", "overlap"]);
    expect(await world.fires("queue")).toEqual(["20261130T110000Z submitted"]);
    expect((await world.schedule("queue")).waitingFireMs).toEqual([12, 13].map((hour) => BigInt(Date.parse(`2026-11-30T${hour}:00Z`))));
    await world.finishLeaves(5);
    await world.at("2026-11-30T13:01:00Z");
    // One begins, and the other one waits for that.
    expect(await world.fires("queue")).toEqual(["20261130T110000Z submitted", "20261130T120000Z submitted"]);
    await world.finishLeaves(1);
    await world.at("2026-11-30T14:00:00Z");
    expect(await world.fires("queue")).toHaveLength(3);
    expect((await world.schedule("queue")).waitingFireMs).toEqual([BigInt(Date.parse("2026-11-30T14:00Z"))]);
    expect((await world.fires("skip")).at(-1)).toBe("20261130T140000Z submitted");
  });

  test("a fire that waits begins when the leaf that it waits for is over, without its time", async () => {
    const world = await open();
    await world.create(scheduleOf({ overlap: OverlappingFires.QUEUE }));
    for (const hour of [11, 12]) await world.at(`2026-11-30T${hour}:00:00Z`);
    const claim = await claimed(world.store);
    const waiting = world.store.waitForWork(60_000, new AbortController().signal);
    await world.store.finish(claim, { state: LeafState.DONE, result: create(LeafResultSchema) }, []);
    await waiting;
    expect(await world.prompts()).toEqual(["at s-20261130T110000Z", "at s-20261130T120000Z"]);
  });

  test("not more than 16 fires wait", async () => {
    const world = await open("2026-11-30T00:30:00Z");
    await world.create(scheduleOf({ overlap: OverlappingFires.QUEUE }));
    for (let hour = 1; hour < 19; hour += 1) await world.at(`2026-11-30T${String(hour).padStart(2, "0")}:00:00Z`);
    expect((await world.schedule()).waitingFireMs).toHaveLength(16);
    expect(await world.fires()).toEqual(["20261130T010000Z submitted", "20261130T180000Z queue_full"]);
  });

  test("jitter delays a fire and does not rename it", async () => {
    const world = await open();
    const schedule = await world.create(scheduleOf({ jitterMs: 600_000n }));
    const fireMs = Date.parse("2026-11-30T11:00:00Z");
    const jitterMs = jitterOf(schedule, fireMs);
    expect(jitterMs).toBeGreaterThan(1000);
    await world.at(fireMs + jitterMs - 1);
    expect(await world.prompts()).toEqual([]);
    await world.at(fireMs + jitterMs);
    expect(await world.prompts()).toEqual(["at s-20261130T110000Z"]);
  });

  test("nothing fires before the start, at or after the end, or beyond the last of the fires that it may make", async () => {
    const world = await open();
    const at = (text: string): bigint => BigInt(Date.parse(text));
    await world.create(scheduleOf({ scheduleId: "bounded", startMs: at("2026-11-30T12:00Z"), endMs: at("2026-11-30T14:00Z") }));
    await world.create(scheduleOf({ scheduleId: "twice", maxFires: 2n }));
    expect((await world.schedule("twice")).upcomingMs).toHaveLength(2);
    for (const hour of [11, 12, 13, 14, 15]) await world.at(`2026-11-30T${hour}:00:00Z`);
    expect(await world.fires("bounded")).toEqual(["20261130T120000Z submitted", "20261130T130000Z submitted"]);
    expect(await world.fires("twice")).toEqual(["20261130T110000Z submitted", "20261130T120000Z submitted"]);
    for (const id of ["bounded", "twice"]) expect(await world.schedule(id)).toMatchObject({ nextFireMs: 0n, upcomingMs: [] });
    expect(await world.store.dueSchedules(10)).toMatchObject({ due: [] });
  });

  test("a clock that was set forward and back again neither loses a fire nor makes one twice", async () => {
    const world = await open();
    for (const [scheduleId, missed] of Object.entries({ skip: MissedFires.SKIP, all: MissedFires.ALL })) {
      await world.create(scheduleOf({ scheduleId, missed }));
    }
    await world.at("2026-11-30T11:00:00Z");
    // Somebody sets it to the next day, at which noon's fire has just come.
    await world.at("2026-12-01T12:00:30Z");
    const ahead = await world.prompts();
    await world.at("2026-11-30T11:05:00Z");
    for (let time = Date.parse("2026-11-30T12:00Z"); time <= Date.parse("2026-12-01T14:00Z"); time += HOUR_MS) await world.at(time);
    const all = await world.prompts();
    expect(new Set(all).size).toBe(all.length);
    expect(all.slice(0, ahead.length)).toEqual(ahead);
    // What was made up for in one go or made ahead is not made again; what comes after it is.
    for (const time of ["20261130T110000Z", "20261201T120000Z", "20261201T130000Z", "20261201T140000Z"]) {
      for (const id of ["skip", "all"]) expect(all).toContain(`at ${id}-${time}`);
    }
  });

  test("what a clock that was ahead had left out is made in its time", async () => {
    const world = await open();
    await world.create(scheduleOf({ cron: "0 11 * * *" }));
    await world.at("2026-12-03T10:00:00Z");
    expect(await world.prompts()).toEqual([]);
    await world.at("2026-11-30T10:31:00Z");
    for (const day of ["2026-11-30", "2026-12-01", "2026-12-02", "2026-12-03"]) await world.at(`${day}T11:00:00Z`);
    expect(await world.prompts()).toEqual(["20261130", "20261201", "20261202", "20261203"].map((day) => `at s-${day}T110000Z`));
  });

  test("a dispatcher that starts after the clock was set back finds what one with a clock ahead had worked out", async () => {
    const world = await open();
    await world.create(scheduleOf({ cron: "0 11 * * *" }));
    await world.at("2026-12-03T10:00:00Z");
    world.drivers.splice(0);
    await world.join();
    await world.at("2026-11-30T11:00:00Z");
    await world.at("2026-11-30T11:00:01Z");
    await world.at("2026-12-01T11:00:00Z");
    expect((await world.prompts()).at(-1)).toBe("at s-20261201T110000Z");
  });

  test("a leaf that is refused is told, and neither tried again nor in the way of the next one", async () => {
    const world = await open();
    await world.create(scheduleOf({ maxFires: 1n }, { sessionId: "gone", sessionMustExist: true }));
    await world.at("2026-11-30T11:00:00Z");
    await world.at("2026-11-30T11:30:00Z");
    expect(await world.schedule()).toMatchObject({ fires: 0n, recentFires: [{ reason: "session_not_found", leafId: "" }] });
    await world.store.submit({ spec: { ...scheduleOf().spec, tenant: "acme", sessionId: "gone" } as never, idempotencyKey: "" });
    await world.at("2026-11-30T12:00:00Z");
    expect(await world.fires()).toEqual(["20261130T110000Z session_not_found", "20261130T120000Z submitted"]);
  });

  test("a key that somebody else used before refuses the fire, and says so", async () => {
    const world = await open();
    await world.create(scheduleOf());
    const idempotencyKey = `schedule:s:${Date.parse("2026-11-30T11:00Z")}`;
    await world.store.submit({ spec: { ...scheduleOf().spec, tenant: "acme", prompt: "mine" } as never, idempotencyKey });
    await world.at("2026-11-30T11:00:00Z");
    expect(await world.fires()).toEqual(["20261130T110000Z idempotency_key_reused"]);
  });

  test("a store that can't be reached refuses nothing: the fire is made once it can", async () => {
    const world = await open();
    await world.create(scheduleOf());
    world.drivers.splice(0);
    let broken = true;
    const lame = await world.join((store) => failing(store, () => broken));
    world.nowMs = Date.parse("2026-11-30T11:00:00Z");
    while ((await lame.look()) === 0);
    expect([await world.prompts(), await world.fires()]).toEqual([[], []]);
    broken = false;
    await world.at("2026-11-30T11:30:00Z");
    expect(await world.fires()).toEqual(["20261130T110000Z submitted"]);
  });

  test("a fire that was begun before its spec was changed is made as it was meant, once", async () => {
    const world = await open();
    await world.create(scheduleOf());
    world.drivers.splice(0);
    let killed = true;
    // It writes that it makes the fire, submits its leaf, and is not heard of again.
    const lame = await world.join((store) => silent(store, () => killed));
    world.nowMs = Date.parse("2026-11-30T11:00:00Z");
    await lame.look();
    await lame.look();
    expect(await world.prompts()).toEqual(["at s-20261130T110000Z"]);
    const { revision } = await world.schedule();
    await world.schedules.update(OPERATOR, scheduleOf({ revision }, { prompt: "other at __FIRE__" }));
    killed = false;
    await world.join();
    await world.at("2026-11-30T11:00:30Z");
    await world.at("2026-11-30T12:00:00Z");
    expect(await world.prompts()).toEqual(["at s-20261130T110000Z", "other at s-20261130T120000Z"]);
    expect(await world.fires()).toEqual(["20261130T110000Z submitted", "20261130T120000Z submitted"]);
  });
});

/** A store that takes no leaf while `broken`, as one that can't be reached. */
function failing(store: LeafStore, broken: () => boolean): LeafStore {
  return withMethods(store, {
    submit: async (leaf) => {
      if (broken()) throw unreachable();
      return await store.submit(leaf);
    },
  });
}

/** A store that loses what is written after a fire was begun, while `killed`: as if the process had ended. */
function silent(store: LeafStore, killed: () => boolean): LeafStore {
  return withMethods(store, {
    replaceSchedule: async (record) => {
      const standing = await store.schedule(record.schedule?.tenant ?? "", record.schedule?.scheduleId ?? "");
      return killed() && standing?.submitting !== undefined ? undefined : await store.replaceSchedule(record);
    },
  });
}

function withMethods(store: LeafStore, methods: Partial<LeafStore>): LeafStore {
  return new Proxy(store, {
    get: (target, name) => {
      const value: unknown = Reflect.get(methods, name) ?? Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

function unreachable(): Error {
  return new HarnessError(Code.Unavailable, "store_unreachable", "it does not answer");
}
