import { redisServer } from "@serverless-harness/session/testing/redis-vitest";
import { expect, onTestFinished, test } from "vitest";
import { machines, Stack } from "../../../brain/test/fixtures/stack.ts";
import { ask, leavesOf, newSession, openRuns, type RunsDoor, review, verdict } from "./runs.ts";

const shared = machines();
const server = redisServer();

/** Two doors of two dispatchers, and a brain, on one Redis. */
async function open(): Promise<{ one: RunsDoor; other: RunsDoor }> {
  const stack = await Stack.open(shared, onTestFinished, server().freshUrl());
  stack.brain({ BRAIN_GRACE_MS: "3600000" });
  return { one: await openRuns(stack.store), other: await openRuns(stack.store) };
}

const DONE = { status: "done", verdict: { item_id: "i1", verdict: "FLAGGED", reason: "it is so" } };

test("on Redis a run is answered, and the same one through another door is the same", async () => {
  const { one, other } = await open();
  const sessionId = newSession();
  const envelope = review(sessionId, [verdict()]);
  expect(await one.run(envelope)).toMatchObject({ status: 200, body: DONE });
  expect(await other.run(review(sessionId, [verdict("CLEAR")]))).toMatchObject({ status: 200, body: DONE });
  expect((await leavesOf(one.store, sessionId)).length).toBe(1);
});

test("on Redis a run that pauses at one door is approved at another, and its status is the same at both", async () => {
  const { one, other } = await open();
  const sessionId = newSession();
  const envelope = review(sessionId, [ask(), verdict()], {}, { require_approval: true });
  expect((await one.run(envelope)).body).toMatchObject({ status: "paused", gateId: 0, gate: { summary: "May I?" } });
  expect((await other.status({ sessionId })).body).toMatchObject({ status: "paused", gateId: 0 });
  expect(await other.run({ ...envelope, decision: { gateId: 0, action: "approve" } })).toMatchObject({ status: 200, body: DONE });
  expect((await one.status({ sessionId })).body).toEqual(DONE);
  expect((await one.run({ ...envelope, decision: { gateId: 0, action: "reject" } })).body).toEqual(DONE);
});

test("on Redis a run that nobody waits for ends, and 20 requests at once make one of it", async () => {
  const { one, other } = await open();
  const sessionId = newSession();
  const envelope = review(sessionId, [verdict()], { async: true });
  const answers = await Promise.all(Array.from({ length: 20 }, (_, index) => (index % 2 === 0 ? one : other).run(envelope)));
  expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([202]));
  expect((await other.outcome({ sessionId })).body).toEqual(DONE);
  expect((await leavesOf(one.store, sessionId)).length).toBe(1);
});
