import { FailureReason } from "@serverless-harness/proto/leaf";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { bash, calls, HandsProcess, ModelProcess, say, scripted, scriptedFor } from "../testing/index.ts";
import { TestSession, told } from "./fixtures/session.ts";

let hands: HandsProcess;
let model: ModelProcess;
beforeAll(async () => {
  [hands, model] = await Promise.all([HandsProcess.start(), ModelProcess.start()]);
});
afterAll(async () => {
  await Promise.all([hands.stop(), model.stop()]);
});

const session = () => TestSession.open(hands, model);
const wish = { tool: "hand_in", schema: { type: "object", properties: { n: { type: "integer" } }, required: ["n"] } };

function handIn(input: Readonly<Record<string, unknown>>) {
  return calls({ name: "hand_in", input });
}

describe("a run that owes a result", () => {
  test("is told again with it, without another request", async () => {
    const s = await session();
    const prompt = scripted(handIn({ n: 1 }), say("never said"));
    const first = await s.agent({}, wish);
    expect(await first.agent.run("op", prompt)).toEqual({ kind: "completed", text: "", value: { n: 1 } });
    await first.agent.close();
    const requests = (await model.requests()).length;
    const again = await s.agent({}, wish);
    expect(await again.agent.run("op", prompt)).toEqual({ kind: "completed", text: "", value: { n: 1 } });
    expect((await model.requests()).length).toBe(requests);
    expect(told(again.events, "tool_ended")).toEqual(told(first.events, "tool_ended"));
  });

  test("is told again with it where calls came with it and it was ended for it, also with the last call that it had", async () => {
    const s = await session();
    const prompt = scripted({ tools: [{ name: "none" }, ...[handIn({ n: 2 })["tools"]].flat()] }, say("never said"));
    const outcome = { kind: "completed", text: "", value: { n: 2 } };
    const first = await s.agent({ maxModelCalls: 1 }, wish);
    expect(await first.agent.run("op", prompt)).toEqual(outcome);
    await first.agent.close();
    const again = await s.agent({ maxModelCalls: 1 }, wish);
    expect(await again.agent.run("op", prompt)).toEqual(outcome);
  });

  test("is told again without it where there was none", async () => {
    const s = await session();
    const prompt = scriptedFor(2, handIn({ n: "1" }), say("one"), say("two"));
    const failed = { kind: "failed", failure: { reason: FailureReason.INVALID_RESULT, retryable: false } };
    const first = await s.agent({}, wish);
    expect(await first.agent.run("op", prompt)).toMatchObject(failed);
    await first.agent.close();
    const again = await s.agent({}, wish);
    expect(await again.agent.run("op", prompt)).toMatchObject(failed);
  });

  test("that was cancelled has none, whatever was handed in before", async () => {
    const s = await session();
    const { agent } = await s.agent({}, wish);
    const run = agent.run("op", scripted(handIn({}), bash("true"), handIn({ n: 3 })));
    agent.cancel();
    expect(await run).toEqual({ kind: "cancelled" });
  });

  test("takes nothing that could not be read again", async () => {
    const s = await session();
    let deep: Readonly<Record<string, unknown>> = { n: 4 };
    for (let i = 0; i < 30; i++) deep = { n: 4, deep };
    const large = { n: 4, text: "x".repeat(1024 * 1024) };
    const { agent, events } = await s.agent({}, wish);
    const outcome = await agent.run(
      "op",
      scripted(handIn(deep), { ...handIn(large), chunk_chars: 1_000_000 }, handIn({ n: 5, text: "x" })),
    );
    expect(outcome).toMatchObject({ kind: "completed", value: { n: 5, text: "x" } });
    const [first, second] = told(events, "tool_ended");
    expect(first).toMatchObject({ isError: true, text: expect.stringContaining("more than 24 objects and lists in each other") });
    expect(second).toMatchObject({ isError: true, text: expect.stringContaining("at most 1048576 bytes") });
  });
});
