import Anthropic from "@anthropic-ai/sdk";
import { afterAll, beforeAll, onTestFinished } from "vitest";
import { startModelProcess } from "../parts/model.ts";

/** Start the server as a process of its own until the test ends. */
export async function startModel() {
  const model = await startModelProcess();
  onTestFinished(async () => void (await model.stop()));
  return { ...model, client: clientOf(model.url) };
}

/** A server for all tests of the suite that this is called in: what they ask for does not depend on each other. */
export function sharedModel(): () => Awaited<ReturnType<typeof startModelProcess>> & { readonly client: Anthropic } {
  let model: Awaited<ReturnType<typeof startModelProcess>> | undefined;
  beforeAll(async () => {
    model = await startModelProcess();
  });
  afterAll(async () => void (await model?.stop()));
  return () => {
    if (model === undefined) throw new Error("the server is there only while a test runs");
    return { ...model, client: clientOf(model.url) };
  };
}

function clientOf(baseURL: string): Anthropic {
  return new Anthropic({ baseURL, apiKey: "any", maxRetries: 0, logLevel: "off" });
}

/** A prompt with a script. */
export function script(...steps: readonly object[]): string {
  return fenced(JSON.stringify({ steps }));
}

/** A prompt with `source` as its script. */
export function fenced(source: string): string {
  return `Do this:\n\`\`\`script\n${source}\n\`\`\`\n`;
}

/** The text blocks of a message, joined. */
export function textOf(message: Anthropic.Message): string {
  return message.content.flatMap((block) => (block.type === "text" ? [block.text] : [])).join("");
}

/** One streamed request. */
export async function ask(client: Anthropic, messages: Anthropic.MessageParam[] | string): Promise<Anthropic.Message> {
  const list = typeof messages === "string" ? [{ role: "user" as const, content: messages }] : messages;
  return await client.messages.stream({ model: "some-model", max_tokens: 1000, messages: list, tools: [BASH] }).finalMessage();
}

/** A tool named bash. */
export const BASH: Anthropic.Tool = { name: "bash", input_schema: { type: "object", properties: { command: { type: "string" } } } };

/**
 * Play an agent: send the prompt, answer every tool call with `result of <name>`, until a message calls no tool. Returns the
 * whole transcript with the assistant's messages.
 */
export async function converse(
  client: Anthropic,
  prompt: string,
  earlier: Anthropic.MessageParam[] = [],
): Promise<{ readonly answers: Anthropic.Message[]; readonly transcript: Anthropic.MessageParam[] }> {
  const transcript: Anthropic.MessageParam[] = [...earlier, { role: "user", content: prompt }];
  const answers: Anthropic.Message[] = [];
  for (;;) {
    const answer = await ask(client, transcript);
    answers.push(answer);
    transcript.push({ role: "assistant", content: answer.content });
    const calls = answer.content.filter((block) => block.type === "tool_use");
    if (calls.length === 0) return { answers, transcript };
    transcript.push({
      role: "user",
      content: calls.map((call) => ({ type: "tool_result", tool_use_id: call.id, content: `result of ${call.name}` })),
    });
  }
}
