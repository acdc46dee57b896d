import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { temporaryDirectory } from "@serverless-harness/kit/testing";
import { LeafState } from "@serverless-harness/proto/leaf";
import { describe, expect, onTestFinished, test } from "vitest";
import { brainSeconds, Lifetimes, requireNone } from "../economics/lifetimes.ts";
import { takeTurns } from "../economics/turns.ts";
import { ENDING_MS, waitAtGate, waitForTool } from "../economics/waits.ts";
import { wholeWorkload } from "../economics.ts";
import { type Stack, startStack } from "../parts/stack.ts";
import { Samples } from "../report/samples.ts";

async function open(settings: Readonly<Record<string, string>>): Promise<{ stack: Stack; lifetimes: Lifetimes }> {
  const stack = await startStack(false, settings);
  const lifetimes = new Lifetimes(stack.dispatcherPid);
  onTestFinished(async () => {
    lifetimes.stop();
    await stack.close();
  });
  return { stack, lifetimes };
}

/** Resolves when a session's only leaf is suspended. */
async function suspended({ leaves }: Stack, sessionId: string): Promise<void> {
  for (;;) {
    const [leaf] = (await leaves.list({ sessionId })).leaves;
    if (leaf?.state === LeafState.SUSPENDED) return;
    await setTimeout(10);
  }
}

describe("brain-seconds", () => {
  test("are what lives and a stretch of time have in common, once for each brain", () => {
    const lives = [
      { fromMs: 1000, toMs: 3000 },
      { fromMs: 2000, toMs: 4000 },
      { fromMs: 9000, toMs: 9500 },
    ];
    expect(brainSeconds(lives, { fromMs: 0, toMs: 10_000 })).toBe(4.5);
    expect(brainSeconds(lives, { fromMs: 2500, toMs: 3500 })).toBe(1.5);
    expect(brainSeconds(lives, { fromMs: 4000, toMs: 9000 })).toBe(0);
  });

  test("in a stretch where there may be none are an error that says how many there were", () => {
    const lives = [{ fromMs: 1000, toMs: 3000 }];
    expect(() => requireNone(lives, { fromMs: 3000, toMs: 9000 }, "between two turns")).not.toThrow();
    expect(() => requireNone(lives, { fromMs: 2500, toMs: 9000 }, "between two turns")).toThrow("lived for 0.5 s between two turns");
  });

  test("of some turns stand for all five of them, with the gaps that were cut short", () => {
    const quick = { turns: 3, gapMs: 10_000, modelMs: 2000 };
    expect(wholeWorkload(12, quick, 0)).toBe(20);
    expect(wholeWorkload(36, quick, 50_000)).toBe(310);
  });

  test("have rows of a unit of their own", () => {
    const samples = new Samples();
    samples.add("brain_s_idle_heavy", [20]);
    samples.add("brain_s_always_on", [310]);
    expect(samples.report("economics", { "idle_heavy/always_on": ["brain_s_idle_heavy", "brain_s_always_on"] })).toEqual({
      name: "economics",
      rows: [expect.objectContaining({ metric: "brain_s_idle_heavy", unit: "s" }), expect.objectContaining({ unit: "s" })],
      ratios: { "idle_heavy/always_on": 0.06452 },
    });
  });
});

describe("a stack", () => {
  test("has a brain for each turn and none in the gaps, seen from outside", async () => {
    const { stack, lifetimes } = await open({ BRAIN_GRACE_MS: "100" });
    const turns = await takeTurns(stack, { turns: 2, gapMs: 2000, modelMs: 50 }, () => undefined);
    await lifetimes.gone();
    const lives = lifetimes.lives();
    expect(lives).toHaveLength(2);
    for (const [index, { fromMs, requestMs, toMs }] of turns.entries()) {
      expect(requestMs).toBeGreaterThanOrEqual(fromMs);
      expect(requestMs).toBeLessThanOrEqual(toMs);
      expect(lives[index]?.toMs).toBeGreaterThan(toMs);
    }
  });

  test("has one that lives on where its grace is long", async () => {
    const { stack, lifetimes } = await open({ BRAIN_GRACE_MS: "3600000" });
    await takeTurns(stack, { turns: 2, gapMs: 0, modelMs: 0 }, () => undefined);
    const lives = lifetimes.lives();
    expect(lives).toHaveLength(1);
    expect(() => requireNone(lives, { fromMs: 0, toMs: Date.now() }, "at all")).toThrow("a brain lived");
  });

  test("waits at a gate and for a command, and tells the stretches in which it needs no brain", async () => {
    const { stack, lifetimes } = await open({ BRAIN_GRACE_MS: "0", BRAIN_SLEEP_AFTER_MS: "500" });
    const waits = { gateMs: 100, toolMs: 0, sleepAfterMs: 500, graceMs: 0 };
    const atGate = await waitAtGate(stack, waits, () => lifetimes.gone());
    await lifetimes.gone();
    // The command ends once its leaf has slept for a while, however long the brain took to let go.
    const woken = join(await temporaryDirectory(), "woken");
    const tool = waitForTool(stack, waits, `until [ -e ${woken} ]; do sleep 0.02; done`);
    await suspended(stack, "tool");
    await lifetimes.gone();
    await setTimeout(ENDING_MS);
    await writeFile(woken, "");
    for (const stretch of [atGate, await tool]) expect(stretch.toMs).toBeGreaterThan(stretch.fromMs);
    // One for each half of both leaves.
    await lifetimes.gone();
    expect(lifetimes.lives()).toHaveLength(4);
  });

  test("refuses a wait that was over before it began", async () => {
    const { stack } = await open({ BRAIN_GRACE_MS: "0" });
    await expect(waitForTool(stack, { gateMs: 0, toolMs: 0, sleepAfterMs: 1000, graceMs: 0 })).rejects.toThrow("command did not run");
  });
});

test("every row and ratio of the bench is in the README", async () => {
  const readme = await readFile(new URL("../README.md", import.meta.url), "utf8");
  for (const name of ["brain_s_idle_heavy", "brain_s_gate", "brain_s_tool", "idle_heavy/always_on"])
    expect(readme).toContain(`\`${name}\``);
});
