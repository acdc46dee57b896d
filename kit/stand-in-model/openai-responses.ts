import { type JsonObject, list, object, parseBody, text } from "./checks.ts";
import type { Dialect, Frame } from "./dialect.ts";
import { type ApiMessage, type ContentBlock, countTokens } from "./message.ts";
import { blocksOf, callBlock, isSystem, merged, type RawMessage, somePieces } from "./openai-content.ts";
import { readTranscript } from "./transcript.ts";

/** OpenAI's Responses API, without a store: each request brings the whole conversation. */
export const OPENAI_RESPONSES: Dialect = {
  read(source) {
    const body = object("request", parseBody(source));
    const input = list("input", typeof body["input"] === "string" ? [{ role: "user", content: body["input"] }] : body["input"]);
    const items = input.map((value, index) => object(`input[${index}]`, value));
    const instructions = blocksOf("instructions", body["instructions"]);
    const system = [...instructions, ...items.filter(isSystem).flatMap((item) => blocksOf("system", item["content"]))];
    const said = items.filter((item) => !isSystem(item)).flatMap((item, index) => toMessages(`input[${index}]`, item));
    return {
      model: text("model", body["model"]),
      stream: body["stream"] === true,
      transcript: readTranscript(merged(said), system),
      thinkingTokens: 0,
      toolNames: list("tools", body["tools"] ?? []).map((tool) => text("tools.name", object("tools", tool)["name"])),
      inputTokens: countTokens(source.length),
    };
  },
  *frames(message, chunkChars) {
    let sequence_number = 0;
    const frame = (type: string, fields: object, kind: Frame["kind"] = "other"): Frame => ({
      text: `event: ${type}\ndata: ${JSON.stringify({ type, sequence_number: sequence_number++, ...fields })}\n\n`,
      kind,
    });
    yield frame("response.created", { response: { ...responseOf(message), status: "in_progress", output: [] } });
    for (const [output_index, block] of message.content.entries()) {
      const item = itemOf(message, output_index, block);
      const position = { output_index, item_id: item["id"] };
      yield frame("response.output_item.added", { output_index, item: { ...item, ...emptied(block) } });
      const [type, source] = deltaOf(block);
      for (const delta of somePieces(source, chunkChars)) yield frame(`${type}.delta`, { ...position, content_index: 0, delta }, "piece");
      if (block.type === "tool_use") yield frame(`${type}.done`, { ...position, arguments: source });
      yield frame("response.output_item.done", { output_index, item });
    }
    const type = message.stop_reason === "max_tokens" ? "response.incomplete" : "response.completed";
    yield frame(type, { response: responseOf(message) }, "end");
  },
  whole: responseOf,
};

function toMessages(name: string, item: JsonObject): RawMessage[] {
  switch (item["type"] ?? "message") {
    case "message":
      return [{ role: text(`${name}.role`, item["role"]), content: blocksOf(`${name}.content`, item["content"]) }];
    case "function_call":
      return [{ role: "assistant", content: [callBlock(name, item["call_id"], item["name"], item["arguments"])] }];
    case "function_call_output": {
      const content = blocksOf(`${name}.output`, item["output"]);
      return [{ role: "user", content: [{ type: "tool_result", tool_use_id: text(`${name}.call_id`, item["call_id"]), content }] }];
    }
    default:
      return [];
  }
}

function itemOf({ id }: ApiMessage, index: number, block: ContentBlock): Record<string, unknown> {
  const own = { id: `item_${id}_${index}`, status: "completed" };
  switch (block.type) {
    case "text":
      return { ...own, type: "message", role: "assistant", content: [{ type: "output_text", text: block.text, annotations: [] }] };
    case "thinking":
      return { ...own, type: "reasoning", summary: [{ type: "summary_text", text: block.thinking }] };
    case "tool_use":
      return { ...own, type: "function_call", call_id: block.id, name: block.name, arguments: JSON.stringify(block.input) };
  }
}

function emptied({ type }: ContentBlock): object {
  return { status: "in_progress", ...(type === "tool_use" ? { arguments: "" } : type === "text" ? { content: [] } : { summary: [] }) };
}

function deltaOf(block: ContentBlock): [type: string, source: string] {
  if (block.type === "text") return ["response.output_text", block.text];
  if (block.type === "thinking") return ["response.reasoning_summary_text", block.thinking];
  return ["response.function_call_arguments", JSON.stringify(block.input)];
}

function responseOf(message: ApiMessage): object {
  const { id, model, usage, content, stop_reason } = message;
  const { input_tokens: plain, output_tokens, cache_read_input_tokens: cached_tokens, cache_creation_input_tokens } = usage;
  const input_tokens = plain + cached_tokens + cache_creation_input_tokens;
  return {
    id,
    object: "response",
    created_at: 0,
    model,
    status: stop_reason === "max_tokens" ? "incomplete" : "completed",
    ...(stop_reason === "max_tokens" ? { incomplete_details: { reason: "max_output_tokens" } } : {}),
    output: content.map((block, index) => itemOf(message, index, block)),
    usage: { input_tokens, output_tokens, total_tokens: input_tokens + output_tokens, input_tokens_details: { cached_tokens } },
  };
}
