import { FailureReason } from "@serverless-harness/proto/leaf";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { bash, calls, HandsProcess, HeldCommand, ModelProcess, say, scripted } from "../testing/index.ts";
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

describe("a run", () => {
  test("is told again when it is over, without another request", async () => {
    const s = await session();
    const prompt = scripted({ ...bash("echo out"), text: "See." }, say("done"));
    const first = await s.agent();
    expect(await first.agent.run("op", prompt)).toEqual({ kind: "completed", text: "done" });
    await first.agent.close();
    const requests = (await model.requests()).length;
    const again = await s.agent();
    expect(await again.agent.run("op", prompt)).toEqual({ kind: "completed", text: "done" });
    expect((await model.requests()).length).toBe(requests);
    expect(told(again.events, "answer")).toEqual(told(first.events, "answer"));
    expect(told(again.events, "tool_ended")).toEqual(told(first.events, "tool_ended"));
    expect(told(again.events, "tool_started")).toEqual(told(first.events, "tool_started"));
    expect(again.events.at(-1)).toEqual(first.events.at(-1));
    expect(told(first.events, "usage").at(-1)?.usage.modelCalls).toBe(2);
  });

  test("goes on where a closed agent left it, counting on", async () => {
    const s = await session();
    const held = await HeldCommand.make();
    const prompt = scripted(bash(held.command), say("{{last_tool_result}}"));
    const first = await s.agent();
    const run = first.agent.run("op", prompt);
    await held.begun();
    await first.agent.close();
    expect(await run).toEqual({ kind: "suspended" });
    expect(told(first.events, "tool_ended")).toEqual([]);
    const second = await s.agent();
    const resumed = second.agent.run("op", prompt);
    await held.open();
    expect(await resumed).toEqual({ kind: "completed", text: "begun\ndone\n" });
    expect(await held.log()).toEqual(["begun", "done"]);
    const [call] = told(first.events, "tool_started");
    expect(told(second.events, "tool_started")).toEqual([call, { ...call, resumed: true }]);
    expect(told(second.events, "usage").at(-1)?.usage.modelCalls).toBe(2);
    expect(s.ended).toEqual([]);
  });

  test("makes room for itself where another was left open, and ends what that one had running", async () => {
    const s = await session();
    const held = await HeldCommand.make();
    const first = await s.agent();
    const left = first.agent.run("left", scripted(bash(held.command), say("never")));
    await held.begun();
    await first.agent.close();
    await left;
    const [call] = told(first.events, "tool_started");
    const second = await s.agent();
    expect(await second.agent.run("next", scripted(say("next")))).toEqual({ kind: "completed", text: "next" });
    expect(s.ended).toEqual([call?.invocationId]);
    expect(told(second.events, "tool_started")).toEqual([]);
    await second.agent.close();
    const third = await s.agent();
    expect(await third.agent.run("left", "")).toMatchObject({ kind: "failed", failure: { reason: FailureReason.INTERNAL } });
    await held.open();
  });

  test("that hands back can be abandoned, and the session is free", async () => {
    const s = await session();
    const { agent } = await s.agent();
    const outcome = await agent.run("op", scripted(say("never", { fail: { status: 503, retry_after: 60 } })));
    expect(outcome).toMatchObject({ kind: "retry", failure: { reason: FailureReason.MODEL_UNAVAILABLE, retryAfterMs: 60_000 } });
    await agent.abandon();
    const again = await s.agent().then(
      ({ agent: other }) => other.run("op", ""),
      (error: unknown) => error,
    );
    expect(again).toMatchObject({ reason: "session_open" });
    await agent.close();
    const next = await s.agent();
    expect(await next.agent.run("op", "")).toMatchObject({
      kind: "failed",
      failure: { reason: FailureReason.MODEL_UNAVAILABLE, retryable: true },
    });
    expect(await next.agent.run("next", scripted(say("fine")))).toEqual({ kind: "completed", text: "fine" });
  });

  test("that waits is taken up again where it was, and only then asks", async () => {
    const s = await session();
    const prompt = scripted(say("at last", { fail: { status: 503, retry_after: 60, times: 1 } }));
    const first = await s.agent();
    expect((await first.agent.run("op", prompt)).kind).toBe("retry");
    await first.agent.close();
    const second = await s.agent();
    expect(await second.agent.run("op", prompt)).toEqual({ kind: "completed", text: "at last" });
    expect(told(second.events, "model_call").map(({ attempt }) => attempt)).toEqual([2]);
  });
});

describe("a cancel", () => {
  test("kills the command, ends the operation and leaves the session usable", async () => {
    const s = await session();
    const held = await HeldCommand.make();
    const { agent } = await s.agent();
    const run = agent.run("op", scripted(bash(held.command), say("never")));
    await held.begun();
    agent.cancel();
    expect(await run).toEqual({ kind: "cancelled" });
    expect(await held.log()).toEqual(["begun"]);
    await agent.close();
    const next = await s.agent();
    expect(await next.agent.run("next", scripted(bash(held.census), say("{{last_tool_result}}")))).toEqual({
      kind: "completed",
      text: "0\n",
    });
  });

  test("cuts an answer", async () => {
    const s = await session();
    const { agent, events } = await s.agent();
    const run = agent.run("op", scripted(say("x".repeat(1000), { chunk_chars: 1, chunk_delay_ms: 50 })));
    while (told(events, "text").length === 0) await new Promise((resolve) => setImmediate(resolve));
    agent.cancel();
    expect(await run).toEqual({ kind: "cancelled" });
    expect(told(events, "answer")).toEqual([]);
    expect(told(events, "answer_discarded").length).toBe(1);
  });

  test("ends a wait", async () => {
    const s = await session();
    const { agent, events } = await s.agent();
    const run = agent.run("op", scripted(say("never", { fail: { status: 503, retry_after: 2 } })));
    while (told(events, "model_call").length === 0) await new Promise((resolve) => setImmediate(resolve));
    agent.cancel();
    expect(await run).toEqual({ kind: "cancelled" });
    expect(told(events, "model_call").length).toBe(1);
  });

  test("before the run begins nothing", async () => {
    const s = await session();
    const { agent, events } = await s.agent();
    agent.cancel();
    expect(await agent.run("op", scripted(say("never")))).toEqual({ kind: "cancelled" });
    expect(events).toEqual([]);
  });

  test("of what another agent left open ends its commands", async () => {
    const s = await session();
    const held = await HeldCommand.make();
    const prompt = scripted(bash(held.command), say("never"));
    const first = await s.agent();
    const run = first.agent.run("op", prompt);
    await held.begun();
    await first.agent.close();
    await run;
    const second = await s.agent();
    second.agent.cancel();
    expect(await second.agent.run("op", prompt)).toEqual({ kind: "cancelled" });
    expect(s.ended).toEqual(told(first.events, "tool_started").map(({ invocationId }) => invocationId));
    await held.open();
  });
});

describe("a deadline", () => {
  test("that passes ends the run, with the command that it waits for", async () => {
    const s = await session();
    const held = await HeldCommand.make();
    const { agent } = await s.agent({ deadlineMs: Date.now() + 1500 });
    const run = agent.run("op", scripted(bash(held.command), say("never")));
    await held.begun();
    expect(await run).toMatchObject({ kind: "failed", failure: { reason: FailureReason.DEADLINE_EXCEEDED, retryable: false } });
    expect(await held.log()).toEqual(["begun"]);
  });

  test("that passed while nobody worked ends what was left running", async () => {
    const s = await session();
    const held = await HeldCommand.make();
    const prompt = scripted(bash(held.command), say("never"));
    const first = await s.agent();
    const run = first.agent.run("op", prompt);
    await held.begun();
    await first.agent.close();
    await run;
    const second = await s.agent({ deadlineMs: Date.now() - 1 });
    expect(await second.agent.run("op", prompt)).toMatchObject({ kind: "failed", failure: { reason: FailureReason.DEADLINE_EXCEEDED } });
    expect(s.ended).toEqual(told(first.events, "tool_started").map(({ invocationId }) => invocationId));
    await held.open();
  });

  test("that is further away than a timer can count does not pass at once", async () => {
    const s = await session();
    const { agent } = await s.agent({ deadlineMs: Date.now() + 1e12 });
    expect(await agent.run("op", scripted(say("in time")))).toEqual({ kind: "completed", text: "in time" });
  });
});

describe("an owner that was superseded", () => {
  test("learns it from its next commit, whatever its command brought", async () => {
    const s = await session();
    const held = await HeldCommand.make();
    const { agent, events } = await s.agent();
    const run = agent.run("op", scripted(bash(held.command), say("never")));
    await held.begun();
    await s.newOwner();
    await held.open();
    expect(await run).toEqual({ kind: "superseded" });
    expect(told(events, "tool_ended")).toEqual([]);
    const next = await s.agent();
    expect(await next.agent.run("op", "")).toMatchObject({ kind: "completed" });
    expect(await held.log()).toEqual(["begun", "done"]);
  });

  test("learns it from the sandbox, and kills nothing there", async () => {
    const s = await session();
    const held = await HeldCommand.make();
    const prompt = scripted(bash(held.command), say("{{last_tool_result}}"));
    const old = await s.agent();
    const run = old.agent.run("op", prompt);
    await held.begun();
    await s.newOwner();
    const next = await s.agent();
    const resumed = next.agent.run("op", prompt);
    old.agent.cancel();
    expect((await run).kind).toMatch(/superseded|cancelled/);
    await held.open();
    expect(await resumed).toEqual({ kind: "completed", text: "begun\ndone\n" });
    expect(await held.log()).toEqual(["begun", "done"]);
  });
});

test("tools that run at once get their results in the order of the calls", async () => {
  const s = await session();
  const { agent, events } = await s.agent();
  const commands = ["sleep 0.2; echo slow", "echo quick"].map((command) => ({ name: "bash", input: { command } }));
  expect(await agent.run("op", scripted(calls(...commands), say("{{last_tool_result}}")))).toEqual({ kind: "completed", text: "quick\n" });
  expect(told(events, "tool_started").map(({ args }) => args)).toEqual(commands.map(({ input }) => input));
  expect(told(events, "tool_ended").map(({ text }) => text)).toEqual(["quick\n", "slow\n"]);
});

test("a limit on model calls counts answers, not requests in vain", async () => {
  const s = await session();
  const fail = { fail: { status: 500, times: 1 } };
  const { agent } = await s.agent({ maxModelCalls: 2 });
  expect(await agent.run("op", scripted({ ...bash("true"), ...fail }, say("just enough", fail)))).toEqual({
    kind: "completed",
    text: "just enough",
  });
});
