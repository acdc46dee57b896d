import type { AssistantMessage, Message } from "@earendil-works/pi-ai";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { CallIds } from "../models/history/call-ids.ts";
import { soundHistory } from "../models/history/sound.ts";
import { ModelRegistry } from "../models/registry.ts";
import { ModelProcess, type Step, say, scripted } from "../testing/index.ts";

let model: ModelProcess;
beforeAll(async () => {
  model = await ModelProcess.start();
});
afterAll(() => model.stop());

const APIS = [
  ["anthropic-messages", "anthropic/claude-sonnet-4-5", "ANTHROPIC", ""],
  ["openai-completions", "groq/llama-3.1-8b-instant", "GROQ", "/v1"],
  ["openai-responses", "openai/gpt-4", "OPENAI", "/v1"],
] as const;

function registryOf(prefix: string, path: string): ModelRegistry {
  return new ModelRegistry({ [`${prefix}_API_KEY`]: "a-key", [`${prefix}_BASE_URL`]: model.url + path });
}

const user = (content: string): Message => ({ role: "user", content, timestamp: 1 });
const NO_COST = { input: 0, output: 0, cacheRead: 0, cacheWrite: 0, total: 0 };
const called = (id: string, name = "bash", args: unknown = { command: "ls" }) =>
  ({ type: "toolCall", id, name, arguments: args }) as AssistantMessage["content"][number];
const thought = (thinking: string) => ({ type: "thinking" as const, thinking, thinkingSignature: "sig" });
const result = (toolCallId: string, text: string, toolName = "bash"): Message => ({
  role: "toolResult",
  toolCallId,
  toolName,
  content: [{ type: "text", text }],
  isError: false,
  timestamp: 1,
});

/** A conversation as logs held it before answers were looked at. */
function oddHistory(api: string, provider: string, modelId: string): Message[] {
  const answered = (...content: AssistantMessage["content"]): Message => ({
    role: "assistant",
    api,
    provider,
    model: modelId,
    content,
    stopReason: "toolUse",
    usage: { input: 1, output: 1, cacheRead: 0, cacheWrite: 0, totalTokens: 2, cost: NO_COST },
    timestamp: 1,
  });
  const blank = api === "anthropic-messages" ? [thought("")] : [];
  return [
    user("Do it."),
    answered(...blank, called("same"), called("same"), called("")),
    result("same", "first"),
    result("same", "second"),
    result("", "third"),
    answered(called("same"), called("not legal\u0000"), called("x".repeat(500)), called("list", "bash", ["ls"])),
    result("same", "fourth"),
    result("not legal\u0000", "fifth"),
    result("x".repeat(500), "sixth"),
    result("list", "seventh"),
    answered(called("odd", "a tool, or none"), called("none", "")),
    result("odd", "eighth", "a tool, or none"),
    result("none", "ninth", ""),
  ];
}

describe.each(APIS)("a conversation of %s", (api, name, prefix, path) => {
  test("that holds calls without ids of their own, blank thoughts and arguments that are no object is taken", async () => {
    const resolved = await registryOf(prefix, path).resolve(name);
    const messages = [...oddHistory(api, resolved.model.provider, resolved.model.id), user(scripted(say("It was {{last_tool_result}}.")))];
    const answer = await resolved.models.completeSimple(resolved.model, { messages }, {});
    expect(answer.errorMessage).toBeUndefined();
    expect(answer.content).toMatchObject([{ type: "text", text: "It was ninth." }]);
  });

  test("that began with a model of another API is taken", async () => {
    const resolved = await registryOf(prefix, path).resolve(name);
    for (const [other, otherName] of APIS) {
      const [provider = "", modelId = ""] = otherName.split(/\/(.*)/);
      const messages = [...oddHistory(other, provider, modelId), user(scripted(say("taken")))];
      const answer = await resolved.models.completeSimple(resolved.model, { messages }, {});
      expect(answer.content).toMatchObject([{ type: "text", text: "taken" }]);
    }
  });

  const tools = [
    { name: "bash", id: "same", input: { command: "a" } },
    { name: "bash", id: "same", input: { command: "b" } },
    { name: "bash", id: "", input: { command: "c" } },
    { name: "bash", id: "a b", input: { command: "d" } },
    { name: "no tool!", input: {} },
  ];

  test("gets no answer whose calls lack legal ids of their own", async () => {
    const resolved = await registryOf(prefix, path).resolve(name);
    const ask = (messages: Message[]) => resolved.models.completeSimple(resolved.model, { messages }, {});
    const odd: Step = { thinking: "", text: "Let me see.", tools };
    const first = await ask([user(scripted(odd))]);
    const calls = first.content.filter((part) => part.type === "toolCall");
    expect(calls.map(({ arguments: args }) => args["command"])).toEqual(["a", "b", "c", "d", undefined]);
    expect(calls.map(({ name: tool }) => tool)).toEqual(["bash", "bash", "bash", "bash", "no_tool_"]);
    const ids = calls.map(({ id }) => id.split("|")[0]);
    expect(new Set(ids).size).toBe(ids.length);
    for (const id of ids) expect(id).toMatch(/^[\w-]{1,64}$/);
    expect(first.content.filter((part) => part.type === "thinking" && api === "anthropic-messages")).toEqual([]);
    const results = calls.map(({ id, name: tool }) => result(id, "done", tool));
    const again = await ask([user("Do it."), first, ...results, user(scripted(odd))]);
    const all = [...ids, ...again.content.flatMap((part) => (part.type === "toolCall" ? [part.id.split("|")[0]] : []))];
    expect(all.length).toBe(10);
    expect(new Set(all).size).toBe(10);
  });
});

describe("calls that shared an id", () => {
  test.each(APIS)("keep their own results in %s, under ids that are the same each time", (api) => {
    const history = oddHistory(api, "p", "m");
    const sound = soundHistory(history, api, new CallIds(api));
    expect(soundHistory(history, api, new CallIds(api))).toEqual(sound);
    const ids = sound.flatMap((message) =>
      message.role === "assistant" ? message.content.flatMap((part) => (part.type === "toolCall" ? [part.id] : [])) : [],
    );
    const results = sound.flatMap((message) => (message.role === "toolResult" ? [message] : []));
    expect(results.map(({ toolCallId }) => toolCallId)).toEqual(ids);
    expect(results.map(({ content: [part] }) => part?.type === "text" && part.text)).toEqual([
      "first",
      "second",
      "third",
      "fourth",
      "fifth",
      "sixth",
      "seventh",
      "eighth",
      "ninth",
    ]);
  });

  test("and those of no odd answer stay as they are", () => {
    const history = oddHistory("anthropic-messages", "p", "m").slice(0, 1);
    const [plain] = [user("Do it.")];
    expect(soundHistory(history, "anthropic-messages", new CallIds("anthropic-messages"))).toEqual([plain]);
    const ids = new CallIds("mistral-conversations");
    expect(["abcdefghi", "ABC123xyz"].map((id) => ids.take(id))).toEqual(["abcdefghi", "ABC123xyz"]);
    expect(ids.take("too_long_for_it")).toMatch(/^[a-z0-9]{9}$/);
    const items = new CallIds("openai-responses");
    expect(["call_1|fc_1", "call_2|fc_1"].map((id) => items.take(id))).toEqual(["call_1|fc_1", "call_2"]);
    expect(items.take("call_1|fc_2")).toMatch(/^call_[0-9a-f]{27}\|fc_2$/);
  });
});
