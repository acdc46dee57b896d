import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import Anthropic from "@anthropic-ai/sdk";
import { onTestFinished } from "vitest";

/** The server's entry point. */
export const MODEL_MAIN = fileURLToPath(new URL("../model/main.ts", import.meta.url));

/** A scripted model server that runs as a process of its own until the test ends. */
export interface ModelProcess {
  readonly url: string;
  /** The real client library, pointed at it. */
  readonly client: Anthropic;
  /** SIGTERM; resolves to the exit code. */
  stop(): Promise<number | null>;
}

/** Start the server on a free port. `environment` replaces settings. */
export async function startModelProcess(environment: Readonly<Record<string, string>> = {}): Promise<ModelProcess> {
  const child = spawn(process.execPath, [MODEL_MAIN], {
    env: { PATH: process.env["PATH"], ...environment },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const exited = once(child, "exit");
  const stop = async (): Promise<number | null> => {
    child.kill("SIGTERM");
    const [code]: (number | null)[] = await exited;
    return code ?? null;
  };
  onTestFinished(async () => void (await stop()));
  const [line] = await once(createInterface({ input: child.stdout }), "line");
  const url: string = JSON.parse(line).url;
  return { url, client: new Anthropic({ baseURL: url, apiKey: "any", maxRetries: 0, logLevel: "off" }), stop };
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
