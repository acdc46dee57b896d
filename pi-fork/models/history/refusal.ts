import type { AssistantMessage } from "@earendil-works/pi-ai";
import { httpOutcome } from "../answers/http-outcome.ts";

const MAX_WORDS_CHARS = 500;
/** How APIs whose adapters tell no status word a request that they refuse as it is. */
const BAD_REQUEST = /\b400\b|INVALID_ARGUMENT|ValidationException/;
/** How providers name the part of a request that they don't take: a message, a call or its result, a picture, a tool. */
const NAMED_PART =
  /\bmessages?[.[:]|\binput\[|\bcontents?[.[:]|tool_use|tool_result|tool_calls?\b|tool output|function (?:call|response)|\bimages?\b|of type 'reasoning'|\btools?[.[]|schema/i;

/** The provider's own message, dug out of the JSON that its client library wraps it in. */
export function wordsOf(message: AssistantMessage): string {
  const text = message.errorMessage ?? "no reason given";
  const json = text.slice(Math.max(0, text.indexOf("{")), text.lastIndexOf("}") + 1);
  const inner = /"message":\s*"((?:[^"\\]|\\.)*)"/.exec(json)?.[1];
  const plain = inner === undefined ? text : (JSON.parse(`"${inner}"`) as string);
  return plain.replace(/\s+/g, " ").slice(0, MAX_WORDS_CHARS);
}

/** The provider answers, and does not take what it was sent: asked again with the same, it will not either. */
export function isConversationRefused(message: AssistantMessage): boolean {
  if (message.stopReason !== "error") return false;
  const { status } = httpOutcome(message);
  const refused = status === undefined ? BAD_REQUEST.test(message.errorMessage ?? "") : status === 400 || status === 422;
  return refused && NAMED_PART.test(wordsOf(message));
}
