import { dirname, join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { Lane, pairsOf, strikeAll, strikesAt } from "./fixtures/every-step.ts";
import { fromInside } from "./fixtures/executioner.ts";
import { machines, Stack } from "./fixtures/stack.ts";

const shared = machines();

async function openLane(): Promise<Lane> {
  const stack = await Stack.open(shared, (cleanup) => onTestFinished(cleanup));
  const steps = join(dirname(stack.storeUrl.slice("sqlite:".length)), "steps");
  return Lane.open(stack, fromInside(steps), { workspaces: shared.hands.workspaces, atEnd: onTestFinished });
}

test("a brain may be killed between any two of its commits to SQLite and calls to hands, and so may its heir", {
  timeout: 1_800_000,
}, async () => {
  const lanes = await Promise.all([openLane(), openLane(), openLane()]);
  const { steps, run } = await lanes[0].count();
  expect(new Set(steps)).toContain("hands harness.hands.v1.FileService/Edit");
  expect(run.files).toMatchObject({ f: ["", "a", "a"], log: ["", "guarded", "last", "one"] });
  expect(run.story.compactions).toBe(1);
  const strikes = [...strikesAt(steps), ...pairsOf(10, steps.length)];
  const { differences, kills } = await strikeAll(lanes, strikes, run);
  expect(differences).toEqual({});
  // What a brain does by time alone is no step of every run.
  expect(kills).toBeGreaterThan(0.9 * strikes.length);
});
