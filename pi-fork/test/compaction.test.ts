import { BACKGROUND_CONTEXT } from "@earendil-works/pi-agent-core";
import { FailureReason } from "@serverless-harness/proto/leaf";
import { redisServer } from "@serverless-harness/session/testing/redis-vitest";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { compactionSettings } from "../agent/compaction/compactor.ts";
import { bash, bulk, FULL, HandsProcess, HeldCommand, ModelProcess, say, scripted, scriptedWith } from "../testing/index.ts";
import { TestSession, told } from "./fixtures/session.ts";

const server = redisServer();
let hands: HandsProcess;
let model: ModelProcess;
beforeAll(async () => {
  [hands, model] = await Promise.all([HandsProcess.start(), ModelProcess.start()]);
});
afterAll(() => Promise.all([hands.stop(), model.stop()]));

describe("when a conversation is summed up", () => {
  test("follows the model's window: Pi's numbers for large ones, a quarter each for small ones", () => {
    expect(compactionSettings(200_000)).toEqual({ enabled: true, reserveTokens: 16_384, keepRecentTokens: 20_000 });
    expect(compactionSettings(16_000)).toEqual({ enabled: true, reserveTokens: 4000, keepRecentTokens: 4000 });
    for (const window of [1, 4095, 8192, 32_000, 66_000, 1_000_000]) {
      const { reserveTokens, keepRecentTokens } = compactionSettings(window);
      expect(keepRecentTokens).toBeLessThan(Math.max(2, window - reserveTokens));
    }
  });
});

test("a summary is not forgotten where the next one begins with a turn that was kept whole", async () => {
  const s = await TestSession.open(hands, model);
  const first = await s.agent();
  await first.agent.run("first", scripted(bulk(), bulk(), say("the secret is kumquat", FULL)));
  const long = `${"x".repeat(80_000)}\n${scripted(bulk(), bulk(), bulk(), bulk(FULL), say("done"))}`;
  expect(await first.agent.run("second", long)).toEqual({ kind: "completed", text: "done" });
  expect(told(first.events, "compacted").length).toBe(2);
  await first.agent.close();
  const log = await s.openLog();
  const newest = await log.findEntry({ type: "compaction", order: "desc" }, BACKGROUND_CONTEXT);
  expect(newest).toMatchObject({ summary: expect.stringContaining("No prior history") });
  expect(newest).toMatchObject({ summary: expect.stringContaining("the secret is kumquat") });
  await log.close(BACKGROUND_CONTEXT);
});

describe.each([
  ["SQLite", () => undefined],
  ["Redis", () => server().freshUrl()],
])("a conversation on %s", (_store, url) => {
  const session = () => TestSession.open(hands, model, url());

  test("that has grown long is summed up, and goes on to its end", async () => {
    const s = await session();
    const { agent, events } = await s.agent();
    const steps = [bulk(), bulk(), bulk(), bulk(FULL), bash("echo behind it"), say("{{last_tool_result}}")];
    expect(await agent.run("op", scripted(...steps))).toEqual({ kind: "completed", text: "behind it\n" });
    const compacted = told(events, "compacted");
    expect(compacted).toMatchObject([{ reason: "threshold", entryId: expect.any(String) }]);
    expect(compacted[0]?.tokensBefore).toBeGreaterThan(990_000);
    const usage = told(events, "usage").at(-1)?.usage;
    expect(usage?.modelCalls).toBe(steps.length + 1);
    await agent.close();
    const again = await s.agent();
    expect(await again.agent.run("op", "")).toEqual({ kind: "completed", text: "behind it\n" });
    expect(told(again.events, "compacted")).toEqual(compacted);
    expect(told(again.events, "usage").at(-1)?.usage).toEqual(usage);
  });

  test("that the model refuses for its length is summed up, and asked about again", async () => {
    const s = await session();
    const { agent, events } = await s.agent();
    const prompt = scriptedWith({ window: 45_000 }, bulk(), bulk(), bulk(), bulk(), say("It fits."));
    expect(await agent.run("op", prompt)).toEqual({ kind: "completed", text: "It fits." });
    expect(told(events, "compacted")).toMatchObject([{ reason: "overflow" }]);
  });

  test("whose newest messages alone are too long loses what tools said, not the run", async () => {
    const s = await session();
    const { agent, events } = await s.agent();
    const many = { tools: Array.from({ length: 4 }, () => (bulk()["tools"] as object[])[0]) };
    const prompt = scriptedWith({ window: 40_000 }, many, say("{{last_tool_result}}"));
    const outcome = await agent.run("op", prompt);
    expect(outcome).toMatchObject({ kind: "completed", text: expect.stringContaining("more characters") });
    expect(told(events, "compacted")).toMatchObject([{ reason: "overflow" }]);
    expect(told(events, "usage").at(-1)?.usage.modelCalls).toBe(2);
  });

  test("that can't be made shorter fails for its length", async () => {
    const { agent, events } = await (await session()).agent();
    const outcome = await agent.run("op", scriptedWith({ window: 100 }, say("never")));
    expect(outcome).toMatchObject({ kind: "failed", failure: { reason: FailureReason.BAD_INPUTS, retryable: false } });
    expect(outcome).toMatchObject({ failure: { message: expect.stringContaining("does not fit into the model's context") } });
    expect(told(events, "compacted")).toEqual([]);
  });

  test("of which nothing can be summed up is left alone, however full the model says that it is", async () => {
    const { agent, events } = await (await session()).agent();
    const steps = [bash("echo 1"), bash("echo 2"), say("done")].map((step) => ({ ...step, ...FULL }));
    expect(await agent.run("op", scripted(...steps))).toEqual({ kind: "completed", text: "done" });
    expect(told(events, "compacted")).toEqual([]);
  });

  test("that is over is not summed up for nobody; the session's next operation does it", async () => {
    const s = await session();
    const first = await s.agent();
    await first.agent.run("first", scripted(bulk(), bulk(), bulk(), bulk(), say("done", FULL)));
    expect(told(first.events, "compacted")).toEqual([]);
    await first.agent.close();
    const second = await s.agent();
    expect(await second.agent.run("second", scripted(say("next")))).toEqual({ kind: "completed", text: "next" });
    expect(told(second.events, "compacted")).toMatchObject([{ reason: "threshold" }]);
    expect(told(second.events, "usage").at(-1)?.usage.modelCalls).toBe(2);
  });

  test("that can't be summed up fails for the reason that the request for it had", async () => {
    const { agent } = await (await session()).agent();
    const summary = { fail: { status: 400, message: "no summaries today" } };
    const outcome = await agent.run("op", scriptedWith({ summary }, bulk(), bulk(), bulk(), bulk(FULL), say("never")));
    expect(outcome).toMatchObject({ kind: "failed", failure: { reason: FailureReason.MODEL_UNAVAILABLE, retryable: false } });
    expect(outcome).toMatchObject({ failure: { message: expect.stringContaining("no summaries today") } });
  });

  test("waits through a short outage of the model when it is summed up, and hands the operation back on a longer one", async () => {
    const busy = (times: number) => ({ summary: { fail: { status: 529, times } } });
    const steps = [bulk(), bulk(), bulk(), bulk(FULL), say("done")];
    const short = await (await session()).agent();
    expect(await short.agent.run("op", scriptedWith(busy(2), ...steps))).toEqual({ kind: "completed", text: "done" });
    expect(told(short.events, "compacted").length).toBe(1);
    const s = await session();
    const long = scriptedWith(busy(4), ...steps);
    const { agent } = await s.agent();
    const outcome = await agent.run("op", long);
    expect(outcome).toMatchObject({ kind: "retry", failure: { reason: FailureReason.MODEL_UNAVAILABLE, retryable: true } });
    await agent.close();
    const again = await s.agent();
    expect(await again.agent.run("op", long)).toEqual({ kind: "completed", text: "done" });
    expect(told(again.events, "compacted").length).toBe(1);
  });

  test("is not summed up where the budget is used up", async () => {
    const { agent, events } = await (await session()).agent({ maxTokens: 500_000 });
    const outcome = await agent.run("op", scripted(bulk(), bulk(), bulk(), bulk(FULL), say("never")));
    expect(outcome).toMatchObject({ kind: "failed", failure: { reason: FailureReason.BUDGET_EXCEEDED } });
    expect(told(events, "compacted")).toEqual([]);
  });

  test("is taken up behind the place where it was summed up: what came before is neither read nor told again", async () => {
    const s = await session();
    const held = await HeldCommand.make();
    const first = await s.agent();
    const steps = [bulk(), bulk(), bulk(), bulk(FULL), bash(held.command), say("{{last_tool_result}}")];
    const run = first.agent.run("op", scripted(...steps));
    await held.begun();
    await first.agent.close();
    await run;
    const second = await s.agent();
    const resumed = second.agent.run("op", "");
    await held.open();
    expect(await resumed).toEqual({ kind: "completed", text: "begun\ndone\n" });
    expect(told(second.events, "compacted")).toEqual(told(first.events, "compacted"));
    expect(told(second.events, "answer").slice(0, 1)).toEqual(told(first.events, "answer").slice(4));
    const [before, after] = [first, second].map(({ events }) => told(events, "usage").at(-1)?.usage);
    expect(after?.modelCalls).toBe(steps.length + 1);
    expect(after?.inputTokens).toBeGreaterThan(before?.inputTokens ?? 0);
    expect(after?.costMicroUsd).toBeGreaterThan(before?.costMicroUsd ?? 0);
  });
});
