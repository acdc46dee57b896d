import { redisServer } from "@serverless-harness/session/testing/redis-vitest";
import { afterAll, beforeAll, expect, test } from "vitest";
import { bash, HandsProcess, ModelProcess, say, scripted } from "../testing/index.ts";
import { roundTrips } from "./fixtures/round-trips.ts";
import { TestSession, told } from "./fixtures/session.ts";

const server = redisServer();
let hands: HandsProcess;
let model: ModelProcess;

beforeAll(async () => {
  [hands, model] = await Promise.all([HandsProcess.start(), ModelProcess.start()]);
});
afterAll(() => Promise.all([hands.stop(), model.stop()]));

/** What an agent and its session ask of Redis while an operation runs, one each for what was asked. */
async function asked(prompt: string): Promise<string[]> {
  const session = await TestSession.open(hands, model, server().freshUrl());
  const { agent, events } = await session.agent();
  const seen = await roundTrips(server().port, async () => {
    expect(await agent.run("op", prompt)).toMatchObject({ kind: "completed" });
    await agent.close();
  });
  expect(told(events, "answer").length).toBeGreaterThan(0);
  return seen;
}

test("a streamed answer of 500 tokens costs a session at most 20 round trips more than a word", async () => {
  const short = await asked(scripted(say("word")));
  const long = await asked(scripted(say("word ".repeat(500))));
  expect(long.length - short.length).toBeLessThanOrEqual(20);
});

test("a run with one tool call costs its session a few dozen round trips", async () => {
  const seen = await asked(scripted(bash("echo hi"), say("done")));
  expect(seen.length).toBeLessThanOrEqual(50);
});
