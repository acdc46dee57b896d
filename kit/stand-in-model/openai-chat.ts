import { type JsonObject, list, object, parseBody, text } from "./checks.ts";
import type { Dialect, Frame } from "./dialect.ts";
import { type ApiMessage, countTokens } from "./message.ts";
import { blocksOf, callBlock, isSystem, merged, type RawMessage, somePieces } from "./openai-content.ts";
import { readTranscript } from "./transcript.ts";

const LEGAL_ID = /^[\x21-\x7e]{1,64}$/;

/** OpenAI's Chat Completions API, which most gateways speak. */
export const OPENAI_CHAT: Dialect = {
  read(source) {
    const body = object("request", parseBody(source));
    const messages = list("messages", body["messages"]).map((value, index) => object(`messages[${index}]`, value));
    const system = messages.filter(isSystem).flatMap((message) => blocksOf("system", message["content"]));
    const said = messages.filter((message) => !isSystem(message)).map((message, index) => toMessage(`messages[${index}]`, message));
    return {
      model: text("model", body["model"]),
      stream: body["stream"] === true,
      transcript: readTranscript(merged(said), system, LEGAL_ID),
      thinkingTokens: 0,
      toolNames: list("tools", body["tools"] ?? []).map((tool) =>
        text("name", object("function", object("tool", tool)["function"])["name"]),
      ),
      inputTokens: countTokens(source.length),
    };
  },
  *frames(message, chunkChars) {
    const frame = (choices: unknown[], kind: Frame["kind"], more: object = {}): Frame => {
      const { id, model } = message;
      return { text: `data: ${JSON.stringify({ id, object: "chat.completion.chunk", created: 0, model, choices, ...more })}\n\n`, kind };
    };
    const delta = (fields: object, kind: Frame["kind"]): Frame => frame([{ index: 0, delta: fields, finish_reason: null }], kind);
    yield delta({ role: "assistant", content: "" }, "other");
    let calls = 0;
    for (const block of message.content) {
      if (block.type === "thinking")
        for (const piece of somePieces(block.thinking, chunkChars)) yield delta({ reasoning_content: piece }, "piece");
      if (block.type === "text") for (const piece of somePieces(block.text, chunkChars)) yield delta({ content: piece }, "piece");
      if (block.type !== "tool_use") continue;
      const index = calls++;
      yield delta({ tool_calls: [{ index, id: block.id, type: "function", function: { name: block.name, arguments: "" } }] }, "other");
      for (const piece of somePieces(JSON.stringify(block.input), chunkChars))
        yield delta({ tool_calls: [{ index, function: { arguments: piece } }] }, "piece");
    }
    yield frame([{ index: 0, delta: {}, finish_reason: finishReason(message) }], "end");
    yield frame([], "other", { usage: usageOf(message) });
    yield { text: "data: [DONE]\n\n", kind: "other" };
  },
  whole(message) {
    const content = message.content.flatMap((block) => (block.type === "text" ? [block.text] : [])).join("");
    const tool_calls = message.content.flatMap((block) =>
      block.type === "tool_use"
        ? [{ id: block.id, type: "function", function: { name: block.name, arguments: JSON.stringify(block.input) } }]
        : [],
    );
    const said = { role: "assistant", content, ...(tool_calls.length > 0 ? { tool_calls } : {}) };
    const choices = [{ index: 0, message: said, finish_reason: finishReason(message) }];
    return { id: message.id, object: "chat.completion", created: 0, model: message.model, choices, usage: usageOf(message) };
  },
};

function toMessage(name: string, message: JsonObject): RawMessage {
  const content = blocksOf(`${name}.content`, message["content"]);
  if (message["role"] === "tool")
    return {
      role: "user",
      content: [{ type: "tool_result", tool_use_id: text(`${name}.tool_call_id`, message["tool_call_id"]), content }],
    };
  const calls = list(`${name}.tool_calls`, message["tool_calls"] ?? []).map((value) => {
    const call = object(`${name}.tool_calls`, value);
    const { name: tool, arguments: args } = object(`${name}.function`, call["function"]);
    return callBlock(name, call["id"], tool, args);
  });
  return { role: text(`${name}.role`, message["role"]), content: [...content, ...calls] };
}

function finishReason({ stop_reason }: ApiMessage): string {
  return { tool_use: "tool_calls", max_tokens: "length", refusal: "content_filter" }[stop_reason] ?? "stop";
}

function usageOf({ usage }: ApiMessage): object {
  const { input_tokens, output_tokens, cache_read_input_tokens: cached_tokens, cache_creation_input_tokens } = usage;
  const prompt_tokens = input_tokens + cached_tokens + cache_creation_input_tokens;
  const prompt_tokens_details = { cached_tokens };
  return { prompt_tokens, completion_tokens: output_tokens, total_tokens: prompt_tokens + output_tokens, prompt_tokens_details };
}
