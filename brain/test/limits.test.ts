import { create } from "@bufbuild/protobuf";
import { FailureReason, LeafState, LimitsSchema, RetryPolicySchema } from "@serverless-harness/proto/leaf";
import { describe, expect, onTestFinished, test } from "vitest";
import { Gate } from "../../pi-fork/test/fixtures/gate.ts";
import { HandsProcess } from "../../pi-fork/test/fixtures/hands.ts";
import { bash, say, scripted } from "../../pi-fork/test/fixtures/model.ts";
import { machines, resident, Stack } from "./fixtures/stack.ts";

const shared = machines();
const house = resident(shared);
const { BUDGET_EXCEEDED, DEADLINE_EXCEEDED, SANDBOX_UNAVAILABLE } = FailureReason;

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
    const result = ended.result?.text;
    expect({ state: ended.state, result, failure: ended.failure }).toMatchObject({
      state: LeafState.FAILED,
      failure: { reason: DEADLINE_EXCEEDED, retryable: false },
    });
    expect(Date.now()).toBeGreaterThanOrEqual(Number(leaf.createdAtMs) + 3000);
    // Had the command lived, this would let it go on.
    const probe = await stack.submit(scripted(bash(gate.census), say("{{last_tool_result}}")));
    expect((await stack.ended(probe)).result?.text).toBe("0\n");
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
    const other = await stack.submit(scripted(say("untouched".repeat(20), { chunk_chars: 4, chunk_delay_ms: 40 })));
    stack.brain({ HANDS_URL: own.address, BRAIN_HANDS_PATIENCE_MS: "300", BRAIN_GRACE_MS: "10000" });
    await gate.begun();
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
    expect(await gate.log()).toEqual(["begun"]);
  });
});
