import type { ApiMessage, ContentBlock } from "./message.ts";

/** One server-sent event of a streamed answer. */
export interface StreamEvent {
  readonly type: string;
  readonly [key: string]: unknown;
}

/** The events of a streamed answer, in order; text, thinking and tool input come in pieces of `chunkChars` characters. */
export function* streamEvents(message: ApiMessage, chunkChars: number): Generator<StreamEvent> {
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

/** An event as it travels. */
export function formatEvent(event: StreamEvent): string {
  return `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`;
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

/** Cut a text into pieces of `size` characters, never inside a surrogate pair. */
function* pieces(text: string, size: number): Generator<string> {
  for (let from = 0; from < text.length; ) {
    const last = text.charCodeAt(from + size - 1);
    const to = from + size + (last >= 0xd800 && last < 0xdc00 ? 1 : 0);
    yield text.slice(from, to);
    from = to;
  }
}
