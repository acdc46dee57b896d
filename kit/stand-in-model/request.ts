import type { IncomingHttpHeaders } from "node:http";
import { ApiError } from "./api-error.ts";
import { integer, list, object, text } from "./checks.ts";
import { countTokens } from "./message.ts";
import { readTranscript, type Transcript } from "./transcript.ts";

/** What matters of a request's body. */
export interface MessagesRequest {
  readonly model: string;
  readonly stream: boolean;
  readonly transcript: Transcript;
  /** Tokens that it may think; 0: none. */
  readonly thinkingTokens: number;
  readonly toolNames: readonly string[];
  /** A rough count. */
  readonly inputTokens: number;
}

/** The one key that is refused, so that the failure can be tried out. */
const BAD_KEY = "bad-key";

/** Throw a 401 where no key was sent, or the bad one. */
export function checkKey(headers: IncomingHttpHeaders): void {
  const bearer = /^Bearer (.+)$/i.exec(headers.authorization ?? "")?.[1];
  const key = headers["x-api-key"] ?? bearer;
  if (key === undefined || key === "") throw new ApiError(401, "x-api-key header is required");
  if (key === BAD_KEY || bearer === BAD_KEY) throw new ApiError(401, "invalid x-api-key");
}

/** Read a request's body. Throws a 400 that says what is wrong. */
export function readRequest(source: string): MessagesRequest {
  const body = object("request", parse(source));
  integer("max_tokens", body["max_tokens"], 1, 1e9);
  return {
    model: text("model", body["model"]),
    stream: body["stream"] === true,
    transcript: readTranscript(body["messages"], body["system"]),
    thinkingTokens: thinkingTokens(body["thinking"]),
    toolNames: list("tools", body["tools"] ?? []).map((tool, index) => text(`tools.${index}.name`, object(`tools.${index}`, tool)["name"])),
    inputTokens: countTokens(source.length),
  };
}

function thinkingTokens(value: unknown): number {
  const thinking = object("thinking", value ?? { type: "disabled" });
  return thinking["type"] === "enabled" ? integer("thinking.budget_tokens", thinking["budget_tokens"], 1, 1e9) : 0;
}

/** A body as JSON. Throws a 400 where it is none. */
export function parse(source: string): unknown {
  try {
    return JSON.parse(source);
  } catch {
    throw new ApiError(400, "The request body is not valid JSON");
  }
}
