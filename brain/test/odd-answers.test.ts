import { create } from "@bufbuild/protobuf";
import { say, scripted } from "@serverless-harness/pi-fork/testing";
import { ForkSchema, LeafState } from "@serverless-harness/proto/leaf";
import { expect, test } from "vitest";
import { machines, Stack } from "./fixtures/stack.ts";

const shared = machines();

test.each([
  ["anthropic-messages", "anthropic/claude-sonnet-4-5", "ANTHROPIC", ""],
  ["openai-completions", "groq/llama-3.1-8b-instant", "GROQ", "/v1"],
  ["openai-responses", "openai/gpt-5", "OPENAI", "/v1"],
])("an odd answer of %s ends neither its session nor a fork of it", async (_api, model, prefix, path) => {
  const stack = await Stack.open(shared);
  stack.brain({ BRAIN_GRACE_MS: "60000", [`${prefix}_API_KEY`]: "k", [`${prefix}_BASE_URL`]: shared.model.url + path });
  const run = (command: string, id: string) => ({ name: "bash", id, input: { command } });
  const odd = { thinking: "", tools: [run("echo one >> made", "same"), run("echo two >> made", "same"), run("echo three", "")] };
  const none = { tools: [{ name: "no such tool", id: "not legal", input: {} }] };
  const first = await stack.submit(scripted(odd, none, say("done")), { model });
  expect(await stack.ended(first)).toMatchObject({ state: LeafState.DONE, result: { text: "done" } });
  const ends = (await stack.eventsOf(first, "toolEnded")).map(({ text, isError }) => (isError ? "error" : text));
  expect(ends.sort()).toEqual(["(no output)", "(no output)", "error", "three\n"]);
  const sessionId = first.spec?.sessionId ?? "";
  const second = await stack.submit(scripted(say("went on")), { model, sessionId });
  expect(await stack.ended(second)).toMatchObject({ state: LeafState.DONE, result: { text: "went on" } });
  const forked = await stack.submit(scripted(say("forked")), { model, fork: create(ForkSchema, { sessionId }) });
  expect(await stack.ended(forked)).toMatchObject({ state: LeafState.DONE, result: { text: "forked" } });
});
