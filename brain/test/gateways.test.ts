import { bash, say, scripted, scriptedFor } from "@serverless-harness/pi-fork/testing";
import { FailureReason, LeafState } from "@serverless-harness/proto/leaf";
import { expect, test } from "vitest";
import { machines, Stack } from "./fixtures/stack.ts";

const shared = machines();

/** Variables that lead a provider's models to the scripted one. */
const gateway = (prefix: string) => ({ [`${prefix}_API_KEY`]: "a-key", [`${prefix}_BASE_URL`]: `${shared.model.url}/v1` });

test.each([
  ["openai-completions", "groq/llama-3.1-8b-instant", "GROQ"],
  ["openai-responses", "openai/gpt-5", "OPENAI"],
])("a leaf runs on a gateway for %s, tools, retries and all", async (_api, model, prefix) => {
  const stack = await Stack.open(shared);
  const leaf = await stack.submit(
    scripted(
      { ...bash("echo here"), fail: { status: 503, times: 1 } },
      { ...bash("echo there"), cut: { times: 1 } },
      say("{{last_tool_result}}"),
    ),
    { model },
  );
  stack.brain(gateway(prefix));
  expect(await stack.ended(leaf)).toMatchObject({ state: LeafState.DONE, result: { text: "there\n" }, usage: { modelCalls: 3 } });
  const ends = (await stack.eventsOf(leaf, "toolEnded")).map(({ text, isError }) => ({ text, isError }));
  expect(ends).toEqual([
    { text: "here\n", isError: false },
    { text: "there\n", isError: false },
  ]);
});

test.each([
  ["openai-completions", "groq/llama-3.1-8b-instant", "GROQ"],
  ["openai-responses", "openai/gpt-5", "OPENAI"],
])("an answer of %s that is cut at the output limit is gone on with", async (_api, model, prefix) => {
  const stack = await Stack.open(shared);
  const cut = { stop_reason: "max_tokens", usage: { output_tokens: 7 } };
  const leaf = await stack.submit(scriptedFor(2, { ...bash("echo half"), ...cut }, say("Half of it, ", cut), say("and the rest.")), {
    model,
  });
  stack.brain(gateway(prefix));
  expect(await stack.ended(leaf)).toMatchObject({ state: LeafState.DONE, result: { text: "Half of it, and the rest." } });
  expect((await stack.eventsOf(leaf, "toolEnded")).map(({ isError }) => isError)).toEqual([true]);
});

test("a model with a small window sums up as it must, not in front of each request, and comes to its end", async () => {
  const stack = await Stack.open(shared);
  const steps = Array.from({ length: 12 }, () => bash("head -c 4000 /dev/zero | tr '\\0' x"));
  // Half of its 8,192 tokens are the agent's own instructions and tools.
  const leaf = await stack.submit(scripted(...steps, say("done")), { model: "openai/gpt-4" });
  stack.brain(gateway("OPENAI"));
  expect(await stack.ended(leaf)).toMatchObject({ state: LeafState.DONE, result: { text: "done" }, failedAttempts: 0 });
  const compactions = (await stack.eventsOf(leaf, "compacted")).length;
  expect(compactions).toBeGreaterThan(0);
  expect(compactions).toBeLessThan(steps.length);
});

test("a setting of a gateway that can't be used fails the leaf by the variable's name", async () => {
  const stack = await Stack.open(shared);
  const leaf = await stack.submit("hello", { model: "openai/gpt-5" });
  stack.brain({ OPENAI_API_KEY: "k", OPENAI_BASE_URL: "nowhere" });
  const ended = await stack.ended(leaf);
  expect(ended).toMatchObject({ state: LeafState.FAILED, failure: { reason: FailureReason.MODEL_UNAVAILABLE } });
  expect(ended.failure?.message).toContain("OPENAI_BASE_URL can't be used");
});
