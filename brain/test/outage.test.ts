import { create } from "@bufbuild/protobuf";
import { say, scripted } from "@serverless-harness/pi-fork/testing";
import { FailureReason, LeafState, RetryPolicySchema } from "@serverless-harness/proto/leaf";
import { describe, expect, test } from "vitest";
import { machines, resident, Stack } from "./fixtures/stack.ts";

const shared = machines();
const house = resident(shared);
const { MODEL_UNAVAILABLE, MODEL_REFUSED } = FailureReason;

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
