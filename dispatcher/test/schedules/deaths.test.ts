import { MissedFires } from "@serverless-harness/proto/leaf";
import { Child } from "@serverless-harness/session/testing/child";
import { describe, expect, test } from "vitest";
import { scheduleOf, storeUrls, World } from "./world.ts";

const MORTAL = new URL("../fixtures/mortal-dispatcher.ts", import.meta.url);
const urls = storeUrls();

describe.each(["SQLite", "Redis"] as const)("on %s", (kind) => {
  test("a dispatcher that is killed at any of its durable steps loses no fire, and the next one makes none twice", async () => {
    const lateMs = Date.parse("2026-11-30T11:30:00Z");
    let alive = false;
    let steps = 0;
    for (; !alive; steps += 1) {
      const world = await World.open(await urls[kind](), "2026-11-30T10:30:00Z", 1);
      await world.create(scheduleOf({ missed: MissedFires.CATCH_UP }));
      const dispatcher = new Child(MORTAL, world.url, String(lateMs), String(steps));
      await dispatcher.ended;
      alive = dispatcher.lines.includes("done");
      expect(dispatcher.process.signalCode).toBe(alive ? null : "SIGKILL");
      await world.at(lateMs);
      expect({ steps, prompts: await world.prompts() }).toEqual({ steps, prompts: ["at s-20261130T110000Z"] });
      expect(await world.fires()).toEqual(["20261130T110000Z submitted"]);
      expect(await world.schedule()).toMatchObject({ fires: 1n, nextFireMs: BigInt(Date.parse("2026-11-30T12:00:00Z")) });
    }
    // The missed fire is found, begun, submitted and told, a step before and one after each; and there is a run that nobody kills.
    expect(steps).toBe(2 * 4 + 1);
  });

  test("of two that are killed in the middle of it at once, with a third one beside them, all fires come of it, once", async () => {
    const lateMs = Date.parse("2026-11-30T15:30:00Z");
    const world = await World.open(await urls[kind](), "2026-11-30T10:30:00Z", 1);
    await world.create(scheduleOf({ missed: MissedFires.ALL }));
    const children = [5, 8].map((step) => new Child(MORTAL, world.url, String(lateMs), String(step)));
    await Promise.all([world.at(lateMs), ...children.map((child) => child.ended)]);
    await world.at(lateMs);
    const times = [11, 12, 13, 14, 15].map((hour) => `20261130T${hour}0000Z`);
    expect((await world.prompts()).sort()).toEqual(times.map((time) => `at s-${time}`));
    expect(await world.fires()).toEqual(times.map((time) => `${time} submitted`));
  });
});
