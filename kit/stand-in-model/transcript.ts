import { createHash } from "node:crypto";
import { imageProblem } from "../image-header.ts";
import { IMAGE_TYPES, imageType } from "../image-type.ts";
import { type JsonObject, list, object, text, wrong } from "./checks.ts";

/** A picture, as an answer describes it. */
export interface Picture {
  readonly mediaType: string;
  readonly bytes: number;
}

/** A block of a message. Blocks without anything that a script could use are `other`. */
export type Block =
  | { readonly type: "text"; readonly text: string }
  | { readonly type: "tool_use"; readonly id: string }
  | { readonly type: "image"; readonly picture: Picture }
  | {
      readonly type: "tool_result";
      readonly toolUseId: string;
      readonly text: string;
      readonly isError: boolean;
      readonly pictures: readonly Picture[];
    }
  | { readonly type: "other" };

/** One message of the transcript that a request carries. */
export interface Message {
  readonly role: "user" | "assistant" | "system";
  readonly blocks: readonly Block[];
}

/** The conversation so far: everything that an answer may depend on. */
export interface Transcript {
  readonly messages: readonly Message[];
  /** The instructions before it. */
  readonly system: string;
  /** Hash over the messages, hexadecimal: a repeated request has the same. */
  readonly hash: string;
}

/** What Anthropic's API accepts as a tool's name, and as a call's id. */
const TOOL_NAME = /^[a-zA-Z0-9_-]{1,128}$/;
export const STRICT_ID = /^[a-zA-Z0-9_-]{1,64}$/;

/** Characters of a tool result that an answer repeats. */
const QUOTE_CHARS = 4000;

/**
 * Read the `messages` of a request. Throws a 400 if the API would: for an unknown role, a tool call without a result or
 * without a legal id of its own, and a blank thought or text.
 */
export function readTranscript(value: unknown, system: unknown = "", legalId: RegExp = STRICT_ID): Transcript {
  const items = list("messages", value);
  if (items.length === 0) throw wrong("messages", "at least one message is required");
  const messages = items.map((item, index) => readMessage(`messages.${index}`, item));
  checkToolResults(messages);
  checkIds(messages, legalId);
  return { messages, system: instructions(system), hash: createHash("sha256").update(JSON.stringify(messages)).digest("hex") };
}

/** Index of the newest message before `end` in which a user wrote text (tool results alone don't count); -1 if there is none. */
export function newestPrompt({ messages }: Transcript, end: number = messages.length): number {
  return messages
    .slice(0, end)
    .findLastIndex((message) => message.role === "user" && message.blocks.some((block) => block.type === "text"));
}

/** The text that was written in a message, without tool results. */
export function writtenText(message: Message | undefined): string {
  return (message?.blocks ?? []).flatMap((block) => (block.type === "text" ? [block.text] : [])).join("\n");
}

/** Everything readable in a message, tool results included. */
export function readableText(message: Message): string {
  return message.blocks.flatMap((block) => (block.type === "text" || block.type === "tool_result" ? [block.text] : [])).join("\n");
}

/** Every picture, in order, those in tool results included. */
export function pictures({ messages }: Transcript): Picture[] {
  return messages
    .flatMap((message) => message.blocks)
    .flatMap((block) => (block.type === "image" ? [block.picture] : block.type === "tool_result" ? block.pictures : []));
}

/** A tool result as an answer repeats it: only its start if it is long. */
export function quote(text: string): string {
  return text.length <= QUOTE_CHARS ? text : `${text.slice(0, QUOTE_CHARS)}\n[${text.length - QUOTE_CHARS} more characters]`;
}

/** The newest tool result. */
export function lastToolResult({ messages }: Transcript): { readonly text: string; readonly isError: boolean } | undefined {
  return messages.flatMap((message) => message.blocks).findLast((block) => block.type === "tool_result");
}

function readMessage(name: string, value: unknown): Message {
  const message = object(name, value);
  const role = message["role"];
  if (role !== "user" && role !== "assistant" && role !== "system") throw wrong(`${name}.role`, "must be user, assistant or system");
  const content = message["content"];
  if (typeof content === "string") return { role, blocks: [{ type: "text", text: content }] };
  return { role, blocks: list(`${name}.content`, content).map((block, index) => readBlock(`${name}.content.${index}`, block)) };
}

function readBlock(name: string, value: unknown): Block {
  const block = object(name, value);
  switch (text(`${name}.type`, block["type"])) {
    case "text":
      return { type: "text", text: words(`${name}.text`, block["text"]) };
    case "thinking":
      words(`${name}.thinking`, block["thinking"]);
      return { type: "other" };
    case "tool_use":
      object(`${name}.input`, block["input"]);
      if (!TOOL_NAME.test(text(`${name}.name`, block["name"]))) throw wrong(`${name}.name`, `must match ${TOOL_NAME.source}`);
      return { type: "tool_use", id: text(`${name}.id`, block["id"]) };
    case "tool_result":
      return {
        type: "tool_result",
        toolUseId: text(`${name}.tool_use_id`, block["tool_use_id"]),
        text: resultText(block),
        isError: block["is_error"] === true,
        pictures: resultPictures(`${name}.content`, block["content"]),
      };
    case "image":
      return { type: "image", picture: readPicture(name, block) };
    default:
      return { type: "other" };
  }
}

function words(name: string, value: unknown): string {
  const said = text(name, value);
  if (said.trim() === "") throw wrong(name, "must not be blank");
  return said;
}

/** A tool result's content is a text, or a list of blocks. */
function resultText(block: JsonObject): string {
  const content = block["content"];
  if (typeof content === "string") return content;
  if (!Array.isArray(content)) return "";
  return content.flatMap((part) => (typeof part?.text === "string" ? [part.text] : [])).join("\n");
}

function resultPictures(name: string, content: unknown): Picture[] {
  if (!Array.isArray(content)) return [];
  return content.flatMap((part, index) => (part?.type === "image" ? [readPicture(`${name}.${index}`, object(name, part))] : []));
}

/** Throws a 400 if the API would: for another kind of file, or bytes that are not of that kind. */
function readPicture(name: string, block: JsonObject): Picture {
  const source = object(`${name}.source`, block["source"]);
  if (source["type"] !== "base64") throw wrong(`${name}.source.type`, "must be base64");
  const mediaType = text(`${name}.source.media_type`, source["media_type"]);
  if (!IMAGE_TYPES.includes(mediaType)) throw wrong(`${name}.source.media_type`, `must be one of ${IMAGE_TYPES.join(", ")}`);
  const data = Buffer.from(text(`${name}.source.data`, source["data"]), "base64");
  if (imageType(data) !== mediaType) throw wrong(`${name}.source.data`, `is no ${mediaType}`);
  const problem = imageProblem(data);
  if (problem !== undefined) throw wrong(`${name}.source.data`, `the image ${problem}`);
  return { mediaType, bytes: data.length };
}

/** A text, or a list of blocks. */
function instructions(system: unknown): string {
  return typeof system === "string" ? system : resultText({ content: system });
}

/** The API refuses a transcript with an unanswered tool call. A stand-in that accepted one would hide that defect. */
function checkToolResults(messages: readonly Message[]): void {
  for (const [index, message] of messages.entries()) {
    const calls = message.role === "assistant" ? message.blocks.flatMap((block) => (block.type === "tool_use" ? [block.id] : [])) : [];
    const answers = messages[index + 1]?.blocks.flatMap((block) => (block.type === "tool_result" ? [block.toolUseId] : [])) ?? [];
    const missing = calls.filter((id) => !answers.includes(id));
    if (missing.length > 0) throw wrong(`messages.${index}`, `tool_use without a tool_result in the next message: ${missing.join(", ")}`);
  }
}

function checkIds(messages: readonly Message[], legal: RegExp): void {
  const seen = new Set<string>();
  for (const [index, { blocks }] of messages.entries()) {
    for (const [at, block] of blocks.entries()) {
      if (block.type !== "tool_use") continue;
      const name = `messages.${index}.content.${at}.id`;
      if (!legal.test(block.id)) throw wrong(name, `must match ${legal.source}`);
      if (seen.has(block.id)) throw wrong(name, "`tool_use` ids must be unique");
      seen.add(block.id);
    }
  }
}
