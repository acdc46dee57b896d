import { createHash } from "node:crypto";
import type { Answer } from "./answer.ts";
import type { JsonObject } from "./checks.ts";
import type { Transcript } from "./transcript.ts";

/** A block of the answer in the API's form. */
export type ContentBlock =
  | { readonly type: "thinking"; readonly thinking: string; readonly signature: string }
  | { readonly type: "text"; readonly text: string }
  | { readonly type: "tool_use"; readonly id: string; readonly name: string; readonly input: JsonObject };

/** Token counts in the API's form. */
export interface Usage {
  readonly input_tokens: number;
  readonly output_tokens: number;
  readonly cache_read_input_tokens: number;
  readonly cache_creation_input_tokens: number;
}

/** The whole answer in the API's form. */
export interface ApiMessage {
  readonly id: string;
  readonly type: "message";
  readonly role: "assistant";
  readonly model: string;
  readonly content: readonly ContentBlock[];
  readonly stop_reason: string;
  readonly stop_sequence: null;
  readonly usage: Usage;
}

/** A rough count of the tokens in a text of `chars` characters: English text has some four to a token. */
export function countTokens(chars: number): number {
  return Math.ceil(chars / 4);
}

/**
 * Build the answer's message. Ids are made from the transcript, so that a repeated request gets the same ones.
 * `inputTokens`: the estimate for the request.
 */
export function toMessage(answer: Answer, transcript: Transcript, model: string, inputTokens: number): ApiMessage {
  const content: ContentBlock[] = [];
  if (answer.thinking !== undefined)
    content.push({ type: "thinking", thinking: answer.thinking, signature: idFrom("sig", transcript, "thinking") });
  if (answer.text !== "") content.push({ type: "text", text: answer.text });
  for (const [index, tool] of answer.tools.entries()) {
    content.push({ type: "tool_use", id: tool.id ?? idFrom("toolu", transcript, String(index)), name: tool.name, input: tool.input });
  }
  return {
    id: idFrom("msg", transcript, answer.step),
    type: "message",
    role: "assistant",
    model,
    content,
    stop_reason: answer.stopReason,
    stop_sequence: null,
    usage: {
      input_tokens: inputTokens,
      output_tokens: countTokens(JSON.stringify(content).length),
      cache_read_input_tokens: 0,
      cache_creation_input_tokens: 0,
      ...answer.usage,
    },
  };
}

function idFrom(prefix: string, transcript: Transcript, salt: string): string {
  return `${prefix}_${createHash("sha256").update(`${transcript.hash}/${salt}`).digest("hex").slice(0, 24)}`;
}

/** Cut a text into pieces of `size` characters, never inside a character. */
export function pieces(text: string, size: number): string[] {
  return text.match(new RegExp(`[\\s\\S]{1,${size}}`, "gu")) ?? [];
}
