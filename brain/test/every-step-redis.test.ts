import { redisServer } from "@serverless-harness/session/testing/redis-vitest";
import { expect, onTestFinished, test } from "vitest";
import { Lane, pairsOf, strikeAll, strikesAt } from "./fixtures/every-step.ts";
import { onTheWay } from "./fixtures/executioner.ts";
import { redisStepOf } from "./fixtures/redis-steps.ts";
import { RedisTap } from "./fixtures/redis-tap.ts";
import { machines, Stack } from "./fixtures/stack.ts";

const shared = machines();
const server = redisServer();

async function openLane(): Promise<Lane> {
  const url = server().freshUrl();
  const tap = await RedisTap.to(server().port, redisStepOf);
  onTestFinished(async () => tap.close());
  const stack = await Stack.open(shared, (cleanup) => onTestFinished(cleanup), url);
  const executioner = onTheWay(tap, url.replace(`:${server().port}`, `:${tap.port}`));
  return Lane.open(stack, executioner, { workspaces: shared.hands.workspaces, atEnd: onTestFinished });
}

test("a brain may be killed between any two steps that it makes on Redis, and so may its heir", {
  timeout: 1_800_000,
}, async () => {
  const lanes = await Promise.all([openLane(), openLane(), openLane()]);
  // The first tells a fresh server each script in two steps.
  await lanes[0].count();
  const { steps, run } = await lanes[0].count();
  expect(new Set(steps)).toEqual(new Set(["claim", "create", "commit", "append", "openGate", "suspend", "finish"]));
  expect(run.story.compactions).toBe(1);
  const strikes = [...strikesAt(steps), ...pairsOf(10, steps.length)];
  const { differences, kills } = await strikeAll(lanes, strikes, run);
  expect(differences).toEqual({});
  // What a brain does by time alone is no step of every run.
  expect(kills).toBeGreaterThan(0.9 * strikes.length);
});
