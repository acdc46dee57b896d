import { create } from "@bufbuild/protobuf";
import { FailureReason, LeafState, LimitsSchema, RetryPolicySchema } from "@serverless-harness/proto/leaf";
import { describe, expect, onTestFinished, test } from "vitest";
import { Gate } from "../../pi-fork/test/fixtures/gate.ts";
import { HandsProcess } from "../../pi-fork/test/fixtures/hands.ts";
import { bash, say, scripted } from "../../pi-fork/test/fixtures/model.ts";
import { machines, resident, Stack } from "./fixtures/stack.ts";
import { until } from "./fixtures/until.ts";

const shared = machines();
const house = resident(shared);
const { MODEL_UNAVAILABLE, MODEL_REFUSED, BUDGET_EXCEEDED, DEADLINE_EXCEEDED, SANDBOX_UNAVAILABLE } = FailureReason;

describe("an outage of the model", () => {
  test.each([
    ["too many requests, for a second", { fail: { status: 429, retry_after: 1, times: 1 } }],
    ["two internal errors", { fail: { status: 500, times: 2 } }],
    ["a stream that breaks off", { cut: { after_chunks: 2, times: 1 } }],
  ])("that is short is sat out: %s", async (_what, outage) => {
    const { stack } = house;
    const text = "An answer of more than one piece, so that it can break off in the middle of what it says.";
    const leaf = await stack.submit(scripted(say(text, outage)));
    expect(await stack.ended(leaf)).toMatchObject({ state: LeafState.DONE, claims: 1, failedAttempts: 0, result: { text } });
    const attempts = (await stack.eventsOf(leaf, "modelCallStarted")).map(({ attempt }) => attempt);
    expect(attempts).toEqual(attempts.map((_, index) => index + 1));
    expect(attempts.length).toBeGreaterThan(1);
  });

  test("that cuts an answer voids its pieces", async () => {
    const { stack } = house;
    const text = "One piece after the other, forty characters long each, until the socket is gone.";
    const leaf = await stack.submit(scripted(say(text, { cut: { after_chunks: 1, times: 1 } })));
    await stack.ended(leaf);
    const told = (await stack.events(leaf)).flatMap(({ event }) =>
      event.case === "answerDiscarded" ? ["|"] : event.case === "textDelta" ? [event.value.text] : [],
    );
    expect(told.join("").split("|").at(-1)).toBe(text);
    expect(told.filter((piece) => piece === "|")).toEqual(["|"]);
  });

  test("that asks to wait longer sends the leaf back to the queue, and no one asks before that", async () => {
    const { stack } = house;
    const leaf = await stack.submit(scripted(say("at last", { fail: { status: 429, retry_after: 3, times: 1 } })));
    const ended = await stack.ended(leaf);
    expect(ended).toMatchObject({ state: LeafState.DONE, claims: 2, failedAttempts: 1, result: { text: "at last" } });
    const waits = (await stack.eventsOf(leaf, "stateChanged")).filter(({ state }) => state === LeafState.RETRYING);
    expect(waits).toMatchObject([{ failure: { reason: MODEL_UNAVAILABLE, retryable: true, retryAfterMs: 3000n } }]);
    const calls = (await stack.events(leaf)).filter(({ event }) => event.case === "modelCallStarted");
    expect(Number(calls[1]?.timeMs) - Number(calls[0]?.timeMs)).toBeGreaterThanOrEqual(3000);
  });

  test("that goes on burns the leaf's attempts, which may be made by different brains, and then fails it with the last cause", async () => {
    const { stack } = house;
    const retry = create(RetryPolicySchema, { maxAttempts: 2, baseDelayMs: 1n, maxDelayMs: 1n });
    const sessionId = "s";
    const leaf = await stack.submit(scripted(say("never", { fail: { status: 529, type: "overloaded_error" } })), { retry, sessionId });
    const next = await stack.submit(scripted(say("the next one")), { sessionId });
    const ended = await stack.ended(leaf);
    expect(ended).toMatchObject({ state: LeafState.FAILED, claims: 2, failedAttempts: 1 });
    expect(ended.failure).toMatchObject({ reason: MODEL_UNAVAILABLE, retryable: true, message: expect.stringContaining("HTTP 529") });
    expect((await stack.ended(next)).result?.text).toBe("the next one");
  });

  test("that nobody listens is told as such", async () => {
    const stack = await Stack.open(shared);
    const retry = create(RetryPolicySchema, { maxAttempts: 1 });
    const leaf = await stack.submit("hello", { retry });
    stack.brain({ ANTHROPIC_BASE_URL: "http://127.0.0.1:9" });
    expect((await stack.ended(leaf)).failure).toMatchObject({
      reason: MODEL_UNAVAILABLE,
      message: expect.stringContaining("can't be reached"),
    });
  });
});

describe("what no retry mends fails at once", () => {
  test.each([
    ["a key that is refused", { ANTHROPIC_AUTH_TOKEN: "bad-key" }, {}, /refused the credentials \(HTTP 401\)/],
    ["a key that is missing", { ANTHROPIC_AUTH_TOKEN: "" }, {}, /set ANTHROPIC_AUTH_TOKEN or .*ANTHROPIC_API_KEY/],
    ["a model that nobody has", {}, { model: "anthropic/claude-sonet" }, /no model "claude-sonet".*Did you mean claude-/],
    ["a provider that is none", { LEAF_MODEL: "antropic/x" }, {}, /unknown model provider "antropic".*Did you mean anthropic/],
  ])("%s", async (_what, environment, spec, message) => {
    const stack = await Stack.open(shared);
    const leaf = await stack.submit("hello", spec);
    // The model is looked at before the sandbox: nobody waits for one that is not there.
    stack.brain(_what.includes("refused") ? environment : { ...environment, HANDS_URL: "unix:/nonexistent/hands.sock" });
    const ended = await stack.ended(leaf);
    expect(ended).toMatchObject({ state: LeafState.FAILED, claims: 1, failedAttempts: 0 });
    expect(ended.failure).toMatchObject({ reason: MODEL_UNAVAILABLE, retryable: false, message: expect.stringMatching(message) });
  });

  test("a refusal", async () => {
    const { stack } = house;
    const leaf = await stack.submit(scripted(say("No.", { stop_reason: "refusal" })));
    expect((await stack.ended(leaf)).failure).toMatchObject({ reason: MODEL_REFUSED, retryable: false });
  });

  test("and the next leaf of the session runs", async () => {
    const { stack } = house;
    const first = await stack.submit("hello", { sessionId: "s", model: "anthropic/none" });
    const second = await stack.submit(scripted(say("fine")), { sessionId: "s" });
    expect((await stack.ended(first)).state).toBe(LeafState.FAILED);
    expect((await stack.ended(second)).result?.text).toBe("fine");
  });
});

describe("limits", () => {
  test("on model calls hold, over a resume as well", async () => {
    const stack = await Stack.open(shared);
    const gate = await Gate.make();
    const limits = create(LimitsSchema, { maxModelCalls: 2 });
    const leaf = await stack.submit(scripted(bash("true"), bash(gate.command), say("never said")), { limits });
    const first = stack.brain();
    await gate.begun();
    await first.kill("SIGTERM");
    await gate.open();
    stack.brain();
    const ended = await stack.ended(leaf);
    expect(ended.failure).toMatchObject({ reason: BUDGET_EXCEEDED, retryable: false, message: expect.stringContaining("2 model calls") });
    expect(ended.usage?.modelCalls).toBe(2);
    expect((await stack.eventsOf(leaf, "toolEnded")).length).toBe(2);
  });

  test("on time end the command that runs", async () => {
    const { stack } = house;
    const gate = await Gate.make();
    const limits = create(LimitsSchema, { deadlineMs: 3000n });
    const leaf = await stack.submit(scripted(bash(gate.command), say("never said")), { limits });
    await gate.begun();
    const ended = await stack.ended(leaf);
    expect(ended.failure).toMatchObject({ reason: DEADLINE_EXCEEDED, retryable: false });
    expect(Date.now()).toBeGreaterThanOrEqual(Number(leaf.createdAtMs) + 3000);
    // Had the command lived, this would let it go on.
    const probe = await stack.submit(scripted(bash(gate.census), say("{{last_tool_result}}")));
    expect((await stack.ended(probe)).result?.text).toBe("0\n");
    expect(await gate.log()).toEqual(["begun"]);
  });

  test("on time that passed while no brain lived end what still runs in the sandbox", async () => {
    const stack = await Stack.open(shared);
    const gate = await Gate.make();
    const limits = create(LimitsSchema, { deadlineMs: 3000n });
    const leaf = await stack.submit(scripted(bash(`sleep 4321.5 & ${gate.command}`), say("never said")), { limits, sessionId: "s" });
    const first = stack.brain();
    await gate.begun();
    await first.kill("SIGTERM");
    await until(async () => Date.now() > Number(leaf.createdAtMs) + 3000);
    stack.brain();
    expect((await stack.ended(leaf)).failure).toMatchObject({ reason: DEADLINE_EXCEEDED });
    const probe = await stack.submit(scripted(bash("pgrep -fx 'sleep 4321.5' || echo none"), say("{{last_tool_result}}")), {
      sessionId: "s",
    });
    stack.brain();
    expect((await stack.ended(probe)).result?.text).toBe("none\n");
    expect(await gate.log()).toEqual(["begun"]);
  });

  test("on time that passed in the queue begin nothing", async () => {
    const { stack } = house;
    const leaf = await stack.submit(scripted(say("never said")), { limits: create(LimitsSchema, { deadlineMs: 1n }) });
    expect((await stack.ended(leaf)).failure).toMatchObject({ reason: DEADLINE_EXCEEDED });
    expect(await stack.eventsOf(leaf, "modelCallStarted")).toEqual([]);
  });
});

describe("a sandbox", () => {
  const patient = create(RetryPolicySchema, { maxAttempts: 20, baseDelayMs: 200n, maxDelayMs: 1000n });

  test("that is not there fails the attempt, and the leaf goes on when it is back", async () => {
    const stack = await Stack.open(shared);
    const own = await HandsProcess.start();
    onTestFinished(() => own.stop());
    await own.kill();
    const leaf = await stack.submit(scripted(bash("echo here"), say("{{last_tool_result}}")), { retry: patient });
    stack.brain({ HANDS_URL: own.address, BRAIN_HANDS_PATIENCE_MS: "300", BRAIN_GRACE_MS: "10000" });
    await stack.inState(leaf, LeafState.RETRYING);
    own.restart();
    expect((await stack.ended(leaf)).result?.text).toBe("here\n");
    const [failure] = (await stack.eventsOf(leaf, "stateChanged")).flatMap(({ failure }) => failure ?? []);
    expect(failure).toMatchObject({ reason: SANDBOX_UNAVAILABLE, retryable: true });
  });

  test("that dies under a command and stays away suspends the operation; the model never sees an error of it", async () => {
    const stack = await Stack.open(shared);
    const own = await HandsProcess.start();
    onTestFinished(() => own.stop());
    const gate = await Gate.make();
    const leaf = await stack.submit(scripted(bash(gate.command), say("{{last_tool_result}}")), { retry: patient });
    stack.brain({ HANDS_URL: own.address, BRAIN_HANDS_PATIENCE_MS: "300", BRAIN_GRACE_MS: "10000" });
    await gate.begun();
    await own.kill();
    await stack.inState(leaf, LeafState.RETRYING);
    expect(await stack.eventsOf(leaf, "toolEnded")).toEqual([]);
    own.restart();
    const ended = await stack.ended(leaf);
    expect(ended.state).toBe(LeafState.DONE);
    expect(ended.result?.text).toMatch(/outcome|unknown|not run again/);
    expect(await gate.log()).toEqual(["begun"]);
  });
});
