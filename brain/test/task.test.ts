import { create, type JsonObject } from "@bufbuild/protobuf";
import { bash, calls, HeldCommand, type Step, say, scripted, scriptedFor } from "@serverless-harness/pi-fork/testing";
import { FailureReason, LeafKind, LeafState, LimitsSchema, RetryPolicySchema } from "@serverless-harness/proto/leaf";
import { describe, expect, test } from "vitest";
import { machines, resident, Stack } from "./fixtures/stack.ts";

const shared = machines();
const house = resident(shared);
const { NO_RESULT, INVALID_RESULT, MODEL_UNAVAILABLE, BUDGET_EXCEEDED } = FailureReason;

const kind = LeafKind.TASK;
const outputSchema: JsonObject = {
  type: "object",
  properties: { count: { type: "integer", minimum: 1 }, tags: { type: "array", items: { $ref: "#/$defs/tag" } } },
  required: ["count"],
  additionalProperties: false,
  $defs: { tag: { enum: ["a", "b"] } },
};
const VERDICT = { item_id: "i1", verdict: "CLEAR", reason: "nothing there" };
/** Behind a result nothing may be asked: this would show. */
const NEVER = say("never said");

function submit(input: JsonObject): Step {
  return calls({ name: "submit_result", input });
}

describe("a task", () => {
  test("is done with the result that the agent hands in, and the model is not asked again", async () => {
    const { stack } = house;
    const leaf = await stack.submit(scripted(bash("echo 3"), submit({ count: 3, tags: ["a", "b"] }), NEVER), { kind, outputSchema });
    const ended = await stack.ended(leaf);
    expect(ended).toMatchObject({ state: LeafState.DONE, failedAttempts: 0, usage: { modelCalls: 2 } });
    expect(ended.result?.value).toEqual({ count: 3, tags: ["a", "b"] });
    expect((await stack.eventsOf(leaf, "toolEnded")).map(({ tool, isError }) => [tool, isError])).toEqual([
      ["bash", false],
      ["submit_result", false],
    ]);
  });

  test("without a schema brings a verdict", async () => {
    const { stack } = house;
    const leaf = await stack.submit(scripted(calls({ name: "submit_verdict", input: VERDICT }), NEVER), { kind });
    expect((await stack.ended(leaf)).result?.value).toEqual(VERDICT);
  });

  test("shows its input to the agent", async () => {
    const { stack } = house;
    const input = { items: [{ id: "needle-7" }], limit: 2.5 };
    const script = scripted({ ...submit({ count: 1 }), text: "I was given {{recall}}.", recall: "(nothing)" }, NEVER);
    const plain = await stack.submit(script, { kind, outputSchema });
    const given = await stack.submit("What id is in the input?", { kind, outputSchema, input });
    await Promise.all([stack.ended(plain), stack.ended(given)]);
    expect((await stack.eventsOf(given, "answer"))[0]?.text).toContain('"id": "needle-7"');
    expect((await stack.eventsOf(plain, "answer"))[0]?.text).toBe("I was given (nothing found).");
  });

  test("tells the agent field by field what is wrong with a result, and takes the next one", async () => {
    const { stack } = house;
    const wrong = submit({ count: 0, tags: ["c"], extra: 1 });
    const leaf = await stack.submit(scripted(wrong, submit({}), submit({ count: 1 }), NEVER), { kind, outputSchema });
    expect((await stack.ended(leaf)).result?.value).toEqual({ count: 1 });
    const [first, second] = await stack.eventsOf(leaf, "toolEnded");
    expect(first).toMatchObject({ isError: true });
    for (const line of ["- count: must be >= 1", '- tags.0: must be one of ["a","b"]', "- the result: must not have extra"])
      expect(first?.text).toContain(line);
    expect(second?.text).toContain("must have required properties count");
  });

  test("takes no value for another that only looks like it", async () => {
    const { stack } = house;
    const leaf = await stack.submit(scripted(submit({ count: "7" }), submit({ count: null }), submit({ count: 7 })), {
      kind,
      outputSchema,
    });
    expect((await stack.ended(leaf)).result?.value).toEqual({ count: 7 });
    expect((await stack.eventsOf(leaf, "toolEnded")).map(({ isError }) => isError)).toEqual([true, true, false]);
  });

  test("takes the first of two results, and asks nothing where other calls came with it", async () => {
    const { stack } = house;
    const step = calls(
      { name: "no_such_tool", input: {} },
      { name: "submit_result", input: { count: 1 } },
      { name: "bash", input: { command: "echo beside" } },
      { name: "submit_result", input: { count: 2 } },
    );
    const leaf = await stack.submit(scripted(step, NEVER), { kind, outputSchema });
    const ended = await stack.ended(leaf);
    expect(ended).toMatchObject({ state: LeafState.DONE, usage: { modelCalls: 1 } });
    expect(ended.result?.value).toEqual({ count: 1 });
    expect((await stack.eventsOf(leaf, "toolEnded")).find(({ tool }) => tool === "bash")?.text).toBe("beside\n");
    expect(await stack.eventsOf(leaf, "modelCallStarted")).toHaveLength(1);
  });

  test("reminds an agent that ends without a result", async () => {
    const { stack } = house;
    const leaf = await stack.submit(scriptedFor(2, say("It is three."), submit({ count: 3 }), NEVER), { kind, outputSchema });
    expect((await stack.ended(leaf)).result?.value).toEqual({ count: 3 });
    expect((await stack.eventsOf(leaf, "answer")).map(({ text }) => text)).toEqual(["It is three.", ""]);
  });

  test("has no result where the agent ends again behind one reminder", async () => {
    const { stack } = house;
    const leaf = await stack.submit(scriptedFor(9, say("one"), say("two"), NEVER), { kind, outputSchema });
    const ended = await stack.ended(leaf);
    expect(ended).toMatchObject({ state: LeafState.FAILED, failedAttempts: 0, usage: { modelCalls: 2 } });
    expect(ended.failure).toMatchObject({ reason: NO_RESULT, retryable: false, message: expect.stringContaining("submit_result") });
    expect(ended.result).toBeUndefined();
  });

  test("has an invalid result where all that was handed in was refused", async () => {
    const { stack } = house;
    const leaf = await stack.submit(scriptedFor(9, submit({}), say("one"), submit({ count: -1 }), say("two"), NEVER), {
      kind,
      outputSchema,
    });
    const ended = await stack.ended(leaf);
    expect(ended.failure).toMatchObject({ reason: INVALID_RESULT, retryable: false });
    expect(ended.usage?.modelCalls).toBe(4);
  });

  test("that follows another on its session owes a result of its own, and a turn behind it owes none", async () => {
    const { stack } = house;
    const sessionId = "one";
    const first = await stack.submit(scripted(submit({ count: 1 })), { kind, outputSchema, sessionId });
    const second = await stack.submit(scripted(submit({ count: 2 })), { kind, outputSchema, sessionId });
    const verdict = await stack.submit(scripted(calls({ name: "submit_verdict", input: VERDICT })), { kind, sessionId });
    const turn = await stack.submit(scripted(say("words")), { sessionId });
    expect((await stack.ended(first)).result?.value).toEqual({ count: 1 });
    expect((await stack.ended(second)).result?.value).toEqual({ count: 2 });
    expect((await stack.ended(verdict)).result?.value).toEqual(VERDICT);
    expect((await stack.ended(turn)).result).toMatchObject({ text: "words" });
    expect((await stack.get(turn)).result?.value).toBeUndefined();
  });

  test("whose model is out is never done, and fails for that", async () => {
    const { stack } = house;
    const retry = create(RetryPolicySchema, { maxAttempts: 2, baseDelayMs: 1n, maxDelayMs: 1n });
    const leaf = await stack.submit(scripted(say("never", { fail: { status: 529 } })), { kind, outputSchema, retry });
    expect((await stack.ended(leaf)).failure).toMatchObject({ reason: MODEL_UNAVAILABLE });
    expect((await stack.get(leaf)).result).toBeUndefined();
  });

  test("may hand its result in with the last model call that it may make", async () => {
    const { stack } = house;
    const step = calls({ name: "submit_result", input: { count: 1 } }, { name: "bash", input: { command: "true" } });
    const limits = create(LimitsSchema, { maxModelCalls: 1 });
    const leaf = await stack.submit(scripted(step, NEVER), { kind, outputSchema, limits });
    expect((await stack.ended(leaf)).result?.value).toEqual({ count: 1 });
    const late = await stack.submit(scripted(bash("true"), submit({ count: 1 })), { kind, outputSchema, limits });
    expect((await stack.ended(late)).failure).toMatchObject({ reason: BUDGET_EXCEEDED });
  });
});

describe("a brain that is killed", () => {
  test.each(["answer", "toolStarted", "toolEnded"] as const)(
    "where the log tells of %s leaves the result to the next one",
    async (told) => {
      const stack = await Stack.open(shared);
      const leaf = await stack.submit(scripted(submit({ count: 5 }), NEVER), { kind, outputSchema });
      const first = stack.brain();
      await stack.when(leaf, ({ event }) => event.case === told);
      await stack.crash(first);
      stack.brain();
      const ended = await stack.ended(leaf);
      expect(ended).toMatchObject({ state: LeafState.DONE, failedAttempts: 0, usage: { modelCalls: 1 } });
      expect(ended.result?.value).toEqual({ count: 5 });
      const results = (await stack.eventsOf(leaf, "stateChanged")).filter(({ state }) => state === LeafState.DONE);
      expect(results).toHaveLength(1);
      expect((await stack.eventsOf(leaf, "toolEnded")).map(({ tool, isError }) => [tool, isError])).toEqual([["submit_result", false]]);
    },
  );

  test("between the call that handed the result in and one beside it loses neither", async () => {
    const stack = await Stack.open(shared);
    const held = await HeldCommand.make();
    const step = calls({ name: "submit_result", input: { count: 6 } }, { name: "bash", input: { command: held.command } });
    const leaf = await stack.submit(scripted(step, NEVER), { kind, outputSchema });
    const first = stack.brain();
    await stack.when(leaf, ({ event }) => event.case === "toolEnded" && event.value.tool === "submit_result");
    await held.begun();
    await stack.crash(first);
    stack.brain();
    await stack.when(leaf, ({ event }) => event.case === "toolStarted" && event.value.resumed);
    await held.open();
    const ended = await stack.ended(leaf);
    expect(ended.result?.value).toEqual({ count: 6 });
    expect(ended.usage?.modelCalls).toBe(1);
    expect(await held.log()).toEqual(["begun", "done"]);
    expect((await stack.eventsOf(leaf, "toolEnded")).map(({ tool }) => tool).toSorted()).toEqual(["bash", "submit_result"]);
  });

  test("behind the reminder does not remind again", async () => {
    const stack = await Stack.open(shared);
    const held = await HeldCommand.make();
    const leaf = await stack.submit(scriptedFor(9, say("one"), bash(held.command), say("two"), NEVER), { kind, outputSchema });
    const first = stack.brain();
    await held.begun();
    await stack.crash(first);
    stack.brain();
    await held.open();
    expect((await stack.ended(leaf)).failure).toMatchObject({ reason: NO_RESULT });
    expect((await stack.get(leaf)).usage?.modelCalls).toBe(3);
  });
});

test("a schema with a pattern that takes for ever costs neither its brain nor the other leaves of it", async () => {
  const { stack } = house;
  const slow = { type: "object", properties: { a: { type: "string", pattern: "^(a+)+$" } }, required: ["a"] };
  const script = scripted(submit({ a: `${"a".repeat(60)}!` }), submit({ a: "aa" }));
  const leaf = await stack.submit(script, { kind, outputSchema: slow });
  const beside = await stack.submit(scripted(bash("true"), say("done")));
  const ended = await stack.ended(leaf);
  expect(ended).toMatchObject({ state: LeafState.DONE, claims: 1 });
  expect(ended.result?.value).toEqual({ a: "aa" });
  expect((await stack.eventsOf(leaf, "toolEnded"))[0]?.text).toContain("can't be matched against the schema in time");
  expect(await stack.ended(beside)).toMatchObject({ state: LeafState.DONE, claims: 1 });
});

test("a result is matched by its own properties, under names that every object inherits as well", async () => {
  const { stack } = house;
  const inherited = {
    type: "object",
    properties: { valueOf: { type: "integer" }, a: { type: "string" } },
    required: ["a", "toString"],
  };
  const leaf = await stack.submit(scripted(submit({ a: "x" }), submit({ a: "x", toString: "own" })), { kind, outputSchema: inherited });
  const ended = await stack.ended(leaf);
  expect(ended.result?.value).toEqual({ a: "x", toString: "own" });
  expect((await stack.eventsOf(leaf, "toolEnded"))[0]?.text).toContain("must have required properties toString");
});

test.each([
  ["a whole number that is not kept exactly", { id: 2 ** 53 }, "the result.id: must be a text, since whole numbers beyond"],
  ["a name that no reader of JSON keeps", JSON.parse('{"__proto__": {"a": 1}}'), "must not have a property __proto__"],
])("a result with %s is refused", async (_what, odd, told) => {
  const { stack } = house;
  const leaf = await stack.submit(scripted(submit(odd), submit({ id: "9007199254740993" })), { kind, outputSchema: { type: "object" } });
  const ended = await stack.ended(leaf);
  expect(ended.result?.value).toEqual({ id: "9007199254740993" });
  expect((await stack.eventsOf(leaf, "toolEnded"))[0]?.text).toContain(told);
});
