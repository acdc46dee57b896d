import { integer, list, object, parseBody, text } from "./checks.ts";
import type { Dialect, Frame } from "./dialect.ts";
import { type ApiMessage, type ContentBlock, countTokens, pieces } from "./message.ts";
import { readTranscript } from "./transcript.ts";

/** One server-sent event of a streamed answer. */
interface StreamEvent {
  readonly type: string;
  readonly [key: string]: unknown;
}

const KINDS: Readonly<Record<string, Frame["kind"]>> = { content_block_delta: "piece", message_delta: "end" };

/** Anthropic's Messages API. The rest of the server uses its forms. */
export const ANTHROPIC: Dialect = {
  read(source) {
    const body = object("request", parseBody(source));
    integer("max_tokens", body["max_tokens"], 1, 1e9);
    return {
      model: text("model", body["model"]),
      stream: body["stream"] === true,
      transcript: readTranscript(body["messages"], body["system"]),
      thinkingTokens: thinkingTokens(body["thinking"]),
      toolNames: list("tools", body["tools"] ?? []).map((tool, index) =>
        text(`tools.${index}.name`, object(`tools.${index}`, tool)["name"]),
      ),
      inputTokens: countTokens(source.length),
    };
  },
  *frames(message, chunkChars) {
    for (const event of streamEvents(message, chunkChars)) {
      yield { text: `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`, kind: KINDS[event.type] ?? "other" };
    }
  },
  whole: (message) => message,
};

function thinkingTokens(value: unknown): number {
  const thinking = object("thinking", value ?? { type: "disabled" });
  return thinking["type"] === "enabled" ? integer("thinking.budget_tokens", thinking["budget_tokens"], 1, 1e9) : 0;
}

function* streamEvents(message: ApiMessage, chunkChars: number): Generator<StreamEvent> {
  const { content, stop_reason, stop_sequence, usage } = message;
  yield { type: "message_start", message: { ...message, content: [], stop_reason: null, usage: { ...usage, output_tokens: 1 } } };
  yield { type: "ping" };
  for (const [index, block] of content.entries()) {
    yield { type: "content_block_start", index, content_block: emptied(block) };
    for (const delta of deltas(block, chunkChars)) yield { type: "content_block_delta", index, delta };
    yield { type: "content_block_stop", index };
  }
  yield { type: "message_delta", delta: { stop_reason, stop_sequence }, usage };
  yield { type: "message_stop" };
}

function emptied(block: ContentBlock): ContentBlock {
  switch (block.type) {
    case "thinking":
      return { ...block, thinking: "", signature: "" };
    case "text":
      return { ...block, text: "" };
    case "tool_use":
      return { ...block, input: {} };
  }
}

function* deltas(block: ContentBlock, chunkChars: number): Generator<Readonly<Record<string, string>>> {
  switch (block.type) {
    case "thinking":
      for (const thinking of pieces(block.thinking, chunkChars)) yield { type: "thinking_delta", thinking };
      yield { type: "signature_delta", signature: block.signature };
      return;
    case "text":
      for (const text of pieces(block.text, chunkChars)) yield { type: "text_delta", text };
      return;
    case "tool_use":
      for (const partial_json of pieces(JSON.stringify(block.input), chunkChars)) yield { type: "input_json_delta", partial_json };
  }
}
