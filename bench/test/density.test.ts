import { readFile } from "node:fs/promises";
import { readScript } from "@serverless-harness/kit/stand-in-model/script";
import { describe, expect, onTestFinished, test } from "vitest";
import { eventDelays } from "../density/delay.ts";
import { House } from "../density/house.ts";
import { memoryOf, watchMemory } from "../density/memory.ts";
import { clock, streaming, waiting } from "../density/prompts.ts";

async function open(): Promise<House> {
  const house = await House.open(false);
  onTestFinished(() => house[Symbol.asyncDispose]());
  return house;
}

describe("a brain of many leaves", () => {
  test("has all of them open at the model at once, and one's events are timed beside the others", async () => {
    const house = await open();
    const first = await house.submit(waiting("Leaf 0."));
    for (const make of [waiting, streaming, streaming]) await house.submit(make("A leaf."));
    const brain = house.startBrain(4);
    await house.untilOpen(4);
    const memory = await watchMemory(brain, 2);
    expect(memory).toHaveLength(2);
    for (const { rss, pss } of memory) {
      expect(rss).toBeGreaterThan(30);
      expect(pss).toBeGreaterThan(0);
      expect(pss).toBeLessThanOrEqual(rss);
    }
    await house.store.cancel(first, "a test");
    expect(await eventDelays(house, 3)).toEqual([expect.any(Number), expect.any(Number), expect.any(Number)]);
  });

  test("ends the run where it dies before its time", async () => {
    const house = await open();
    await house.submit(waiting("Leaf 0."));
    const brain = house.startBrain(1);
    await house.untilOpen(1);
    process.kill(brain, "SIGTERM");
    await expect(house.untilOpen(2)).rejects.toThrow("a brain ended before 2 requests");
  });
});

test("the memory of a process that is gone is an error and no number", () => {
  expect(() => memoryOf(2 ** 30)).toThrow("ENOENT");
});

test("prompts are scripts of the scripted model", () => {
  expect(readScript(waiting("A leaf."))?.steps).toEqual([expect.objectContaining({ delayMs: 1_800_000 })]);
  expect(readScript(streaming("A leaf."))?.steps).toEqual([expect.objectContaining({ chunkChars: 5, chunkDelayMs: 500 })]);
  expect(readScript(clock("A clock.", 3))?.steps.map(({ tools }) => tools.length)).toEqual([1, 1, 1, 0]);
});

test("every row and ratio of the bench is in the README", async () => {
  const readme = await readFile(new URL("../README.md", import.meta.url), "utf8");
  for (const name of ["rss_200_mb", "event_delay_ms", "rss_200/processes"]) expect(readme).toContain(`\`${name}\``);
});
