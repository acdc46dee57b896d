import { ApiError } from "./api-error.ts";
import { type JsonObject, list, object, text } from "./checks.ts";
import { pieces } from "./message.ts";

/** A message in the form of Anthropic's API, not checked yet. */
export interface RawMessage {
  readonly role: string;
  readonly content: JsonObject[];
}

/** The parts of a message of either OpenAI API, as blocks: texts and pictures. */
export function blocksOf(name: string, content: unknown): JsonObject[] {
  if (content === null || content === undefined) return [];
  if (typeof content === "string") return content === "" ? [] : [{ type: "text", text: content }];
  return list(name, content).map((value, index) => blockOf(`${name}[${index}]`, object(`${name}[${index}]`, value)));
}

function blockOf(name: string, part: JsonObject): JsonObject {
  if (typeof part["text"] === "string") return { type: "text", text: part["text"] };
  const image = part["image_url"];
  const url = typeof image === "string" ? image : image === undefined ? "" : text(`${name}.image_url.url`, object(name, image)["url"]);
  const [, mediaType, data] = /^data:([^;]+);base64,(.*)$/s.exec(url) ?? [];
  return data === undefined ? { type: "other" } : { type: "image", source: { type: "base64", media_type: mediaType, data } };
}

/** A tool call as a block. */
export function callBlock(name: string, id: unknown, tool: unknown, args: unknown): JsonObject {
  const source = text(`${name}.arguments`, args);
  try {
    return { type: "tool_use", id: text(`${name}.id`, id), name: text(`${name}.name`, tool), input: JSON.parse(source || "{}") };
  } catch {
    throw new ApiError(400, `${name}.arguments: not valid JSON`);
  }
}

/** Merge consecutive messages of one role: Anthropic's API, whose forms the rest of the server uses, wants tool results together. */
export function merged(messages: readonly RawMessage[]): RawMessage[] {
  const result: RawMessage[] = [];
  for (const message of messages) {
    const last = result.at(-1);
    if (last?.role === message.role) last.content.push(...message.content);
    else result.push({ ...message, content: [...message.content] });
  }
  return result.filter(({ content }) => content.length > 0);
}

/** The messages that are instructions. */
export function isSystem({ role }: JsonObject): boolean {
  return role === "system" || role === "developer";
}

/** The pieces of a text, at least one. */
export function somePieces(text: string, size: number): readonly string[] {
  return text === "" ? [""] : pieces(text, size);
}
