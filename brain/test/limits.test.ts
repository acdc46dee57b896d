import { create } from "@bufbuild/protobuf";
import { openPiSessions } from "@serverless-harness/pi-fork";
import { bash, calls, HandsProcess, HeldCommand, say, scripted } from "@serverless-harness/pi-fork/testing";
import {
  FailureReason,
  type Leaf,
  LeafKind,
  LeafState,
  LimitsSchema,
  RetryPolicySchema,
  ThinkingLevel,
} from "@serverless-harness/proto/leaf";
import { describe, expect, onTestFinished, test } from "vitest";
import { machines, resident, Stack } from "./fixtures/stack.ts";

const shared = machines();
const house = resident(shared);
const { BUDGET_EXCEEDED, DEADLINE_EXCEEDED, SANDBOX_UNAVAILABLE } = FailureReason;

describe("limits", () => {
  test("on model calls hold, over a resume as well", async () => {
    const stack = await Stack.open(shared);
    const held = await HeldCommand.make();
    const limits = create(LimitsSchema, { maxModelCalls: 2 });
    const leaf = await stack.submit(scripted(bash("true"), bash(held.command), say("never said")), { limits });
    const first = stack.brain();
    await held.begun();
    await first.kill("SIGTERM");
    await held.open();
    stack.brain();
    const ended = await stack.ended(leaf);
    expect(ended.failure).toMatchObject({ reason: BUDGET_EXCEEDED, retryable: false, message: expect.stringContaining("2 model calls") });
    expect(ended.usage?.modelCalls).toBe(2);
    expect((await stack.eventsOf(leaf, "toolEnded")).length).toBe(2);
    expect(await endsInLog(stack, leaf)).toEqual([[leaf.leafId, "aborted"]]);
  });

  test("on turns with tools refuse later calls, the result's too, over a resume as well, until the agent ends by itself", async () => {
    const stack = await Stack.open(shared);
    const held = await HeldCommand.make();
    const limits = create(LimitsSchema, { maxToolTurns: 1 });
    const submit = calls({ name: "submit_verdict", input: { item_id: "i", verdict: "CLEAR", reason: "so" } });
    const script = scripted(bash(held.command), bash("echo late"), submit, say("I can't"), say("really"));
    const leaf = await stack.submit(script, { kind: LeafKind.TASK, limits });
    const first = stack.brain();
    await held.begun();
    await first.kill("SIGTERM");
    await held.open();
    stack.brain();
    const { failure } = await stack.ended(leaf);
    expect(failure).toMatchObject({ reason: FailureReason.NO_RESULT, retryable: false });
    expect((await stack.eventsOf(leaf, "toolEnded")).map(({ tool, isError }) => [tool, isError])).toEqual([
      ["bash", false],
      ["bash", true],
      ["submit_verdict", true],
    ]);
  });

  test("on time end the command that runs", async () => {
    const { stack } = house;
    const held = await HeldCommand.make();
    // On a slow machine it takes seconds until the command has begun.
    const limits = create(LimitsSchema, { deadlineMs: 8000n });
    const leaf = await stack.submit(scripted(bash(held.command), say("never said")), { limits });
    await held.begun();
    const ended = await stack.ended(leaf);
    const result = ended.result?.text;
    expect({ state: ended.state, result, failure: ended.failure }).toMatchObject({
      state: LeafState.FAILED,
      failure: { reason: DEADLINE_EXCEEDED, retryable: false },
    });
    expect(Date.now()).toBeGreaterThanOrEqual(Number(leaf.createdAtMs) + 8000);
    // Had the command lived, this would let it go on.
    const probe = await stack.submit(scripted(bash(held.census), say("{{last_tool_result}}")));
    expect((await stack.ended(probe)).result?.text).toBe("0\n");
    expect(await held.log()).toEqual(["begun"]);
    expect(await endsInLog(stack, leaf)).toEqual([[leaf.leafId, "aborted"]]);
  });

  test("on time that passed in the queue begin nothing", async () => {
    const { stack } = house;
    const leaf = await stack.submit(scripted(say("never said")), { limits: create(LimitsSchema, { deadlineMs: 1n }) });
    expect((await stack.ended(leaf)).failure).toMatchObject({ reason: DEADLINE_EXCEEDED });
    expect(await stack.eventsOf(leaf, "modelCallStarted")).toEqual([]);
  });
});

/** How the operations of a leaf's session ended, as its log has it. */
async function endsInLog(stack: Stack, leaf: Leaf) {
  const sessions = openPiSessions(stack.storeUrl);
  const ends: string[][] = [];
  for await (const line of sessions.exportSession({ tenant: "test", sessionId: leaf.spec?.sessionId ?? "" })) {
    for (const record of recordsIn(JSON.parse(line))) ends.push([record.operationId, record.status]);
  }
  await sessions.close();
  return ends;
}

interface EndRecord {
  readonly operationId: string;
  readonly status: string;
}

/** Every record of an end in a line of the log, wherever it lies. */
function recordsIn(value: unknown): EndRecord[] {
  if (typeof value !== "object" || value === null) return [];
  const own = "operationId" in value && "status" in value && "endedAt" in value ? [value as unknown as EndRecord] : [];
  return [...own, ...Object.values(value).flatMap(recordsIn)];
}

const usage = (input: number, output: number) => ({ usage: { input_tokens: input, output_tokens: output } });

describe("limits on tokens", () => {
  test("let no tool call begin behind the answer that goes over them", async () => {
    const { stack } = house;
    const limits = create(LimitsSchema, { maxTokens: 1000n });
    const script = scripted(
      { ...bash("echo within"), ...usage(400, 100) },
      { ...bash("echo over"), ...usage(450, 100) },
      say("never said"),
    );
    const leaf = await stack.submit(script, { limits });
    const ended = await stack.ended(leaf);
    expect(ended).toMatchObject({ state: LeafState.FAILED, failedAttempts: 0, failure: { reason: BUDGET_EXCEEDED, retryable: false } });
    expect(ended.failure?.message).toContain("1000 tokens was reached before the agent was done (used: 1050)");
    expect(ended.usage).toMatchObject({ modelCalls: 2, inputTokens: 850n, outputTokens: 200n });
    const ends = await stack.eventsOf(leaf, "toolEnded");
    expect(ends.map(({ isError, text }) => [isError, text])).toEqual([
      [false, "within\n"],
      [true, expect.stringContaining("cancelled before completion")],
    ]);
    expect(await endsInLog(stack, leaf)).toEqual([[leaf.leafId, "aborted"]]);
  });

  test("count cached tokens, and are reached where nothing is left for another request", async () => {
    const { stack } = house;
    const limits = create(LimitsSchema, { maxTokens: 1000n });
    const cached = { usage: { input_tokens: 100, output_tokens: 100, cache_read_input_tokens: 500, cache_creation_input_tokens: 300 } };
    const leaf = await stack.submit(scripted({ ...bash("echo within"), ...cached }, say("never said")), { limits });
    const ended = await stack.ended(leaf);
    expect(ended.failure).toMatchObject({ reason: BUDGET_EXCEEDED });
    expect((await stack.eventsOf(leaf, "toolEnded")).map(({ text }) => text)).toEqual(["within\n"]);
    expect(await stack.eventsOf(leaf, "modelCallStarted")).toHaveLength(1);
    expect(await endsInLog(stack, leaf)).toEqual([[leaf.leafId, "aborted"]]);
  });

  test("hold for the last answer as well, and not for one that just fits", async () => {
    const { stack } = house;
    const limits = create(LimitsSchema, { maxTokens: 1000n });
    const fits = await stack.submit(scripted(say("fits", usage(900, 100))), { limits });
    const over = await stack.submit(scripted(say("over", usage(900, 101))), { limits });
    expect((await stack.ended(fits)).result?.text).toBe("fits");
    expect(await stack.ended(over)).toMatchObject({ state: LeafState.FAILED, failure: { reason: BUDGET_EXCEEDED } });
    expect(await endsInLog(stack, over)).toEqual([[over.leafId, "aborted"]]);
  });

  test("take no result of a task over them", async () => {
    const { stack } = house;
    const limits = create(LimitsSchema, { maxTokens: 10n });
    const verdict = calls({ name: "submit_verdict", input: { item_id: "i", verdict: "CLEAR", reason: "r" } });
    const leaf = await stack.submit(scripted({ ...verdict, ...usage(10, 1) }), { kind: LeafKind.TASK, limits });
    expect(await stack.ended(leaf)).toMatchObject({ state: LeafState.FAILED, failure: { reason: BUDGET_EXCEEDED } });
    expect((await stack.get(leaf)).result).toBeUndefined();
  });

  test("count an answer that was cut by a kill: its input, and what was streamed of it", async () => {
    const stack = await Stack.open(shared);
    const text = "Word by word. ".repeat(40).trim();
    const script = scripted(
      { ...bash("true"), ...usage(5000, 100) },
      say(text, { ...usage(6000, 7), chunk_chars: 70, chunk_delay_ms: 400 }),
    );
    const leaf = await stack.submit(script);
    const first = stack.brain();
    let pieces = 0;
    await stack.when(leaf, ({ event }) => event.case === "textDelta" && ++pieces === 3);
    await stack.crash(first);
    stack.brain();
    const ended = await stack.ended(leaf);
    expect(ended).toMatchObject({ state: LeafState.DONE, result: { text }, usage: { modelCalls: 2 } });
    const cut = Number(ended.usage?.inputTokens) - 5000 - 6000;
    // What the request before had come to, and the command's result behind it.
    expect(cut).toBeGreaterThanOrEqual(5100);
    expect(cut).toBeLessThan(5200);
    const streamed = Number(ended.usage?.outputTokens) - 100 - 7;
    expect(streamed).toBeGreaterThan(0);
    expect(streamed).toBeLessThan(text.length / 4);
    expect(Number(ended.usage?.costMicroUsd)).toBe((5000 + 6000 + cut) * 3 + (100 + 7 + streamed) * 15);
  });

  test("count answers that were cut by kills against the limit", async () => {
    const stack = await Stack.open(shared);
    const limits = create(LimitsSchema, { maxTokens: 1000n });
    const slow = say("Word by word. ".repeat(40), { ...usage(1, 1), chunk_chars: 70, chunk_delay_ms: 400 });
    const leaf = await stack.submit(scripted(slow), { limits });
    const first = stack.brain();
    await stack.when(leaf, ({ event }) => event.case === "textDelta");
    await stack.crash(first);
    stack.brain();
    // The agent's own instructions and tools alone come to more.
    const ended = await stack.ended(leaf);
    expect(ended).toMatchObject({ state: LeafState.FAILED, failure: { reason: BUDGET_EXCEEDED }, usage: { modelCalls: 0 } });
    expect(await stack.eventsOf(leaf, "modelCallStarted")).toHaveLength(1);
    expect(await endsInLog(stack, leaf)).toEqual([[leaf.leafId, "aborted"]]);
  });
});

describe("limits on cost", () => {
  test("are counted by the price list", async () => {
    const { stack } = house;
    // Sonnet 4.5 takes 3 dollars for a million tokens in, and 15 for as many out.
    const script = () => scripted({ ...bash("echo one"), ...usage(1000, 100) }, say("done", usage(1000, 100)));
    const fits = await stack.submit(script(), { limits: create(LimitsSchema, { maxCostMicroUsd: 9000n }) });
    const over = await stack.submit(script(), { limits: create(LimitsSchema, { maxCostMicroUsd: 8999n }) });
    expect(await stack.ended(fits)).toMatchObject({ state: LeafState.DONE, usage: { costMicroUsd: 9000n } });
    const ended = await stack.ended(over);
    expect(ended.failure).toMatchObject({ reason: BUDGET_EXCEEDED, message: expect.stringContaining("8999 millionths of a US dollar") });
    expect(await endsInLog(stack, over)).toEqual([[over.leafId, "aborted"]]);
  });
});

describe("thinking", () => {
  test.each([
    ["not at all by default", ThinkingLevel.UNSPECIFIED, (tokens: number) => tokens === 0],
    ["a little", ThinkingLevel.LOW, (tokens: number) => tokens > 0],
    ["much", ThinkingLevel.HIGH, (tokens: number) => tokens > 8000],
  ])("is asked of the model %s", async (_what, thinking, fits) => {
    const stack = await Stack.open(shared);
    const leaf = await stack.submit(scripted(say("done")), { thinking });
    stack.brain();
    await stack.ended(leaf);
    const tokens = (await shared.model.requests()).at(-1)?.thinking ?? -1;
    expect({ tokens, fits: fits(tokens) }).toMatchObject({ fits: true });
  });

  test("is each leaf's own, on one session", async () => {
    const { stack } = house;
    const sessionId = "thinks";
    const much = await stack.submit(scripted(say("done")), { thinking: ThinkingLevel.HIGH, sessionId });
    await stack.ended(much);
    const none = await stack.submit(scripted(say("done")), { sessionId });
    await stack.ended(none);
    const [before, after] = (await shared.model.requests()).slice(-2);
    expect(before?.thinking).toBeGreaterThan(0);
    expect(after?.thinking).toBe(0);
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
    const held = await HeldCommand.make();
    const leaf = await stack.submit(scripted(bash(held.command), say("{{last_tool_result}}")), { retry: patient });
    const other = await stack.submit(scripted(say("untouched".repeat(20), { chunk_chars: 4, chunk_delay_ms: 40 })));
    stack.brain({ HANDS_URL: own.address, BRAIN_HANDS_PATIENCE_MS: "300", BRAIN_GRACE_MS: "10000" });
    await held.begun();
    await stack.when(other, ({ event }) => event.case === "textDelta");
    const { claims, failedAttempts } = await stack.get(other);
    await own.kill();
    await stack.inState(leaf, LeafState.RETRYING);
    expect(await stack.eventsOf(leaf, "toolEnded")).toEqual([]);
    own.restart();
    const ended = await stack.ended(leaf);
    expect(ended.state).toBe(LeafState.DONE);
    expect(ended.result?.text).toMatch(/outcome|unknown|not run again/);
    expect(await stack.ended(other)).toMatchObject({ state: LeafState.DONE, claims, failedAttempts });
    expect(await held.log()).toEqual(["begun"]);
  });
});
