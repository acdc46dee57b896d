import type { AssistantMessage, Message } from "@earendil-works/pi-ai";
import { wordsOf } from "./refusal.ts";

const TYPE = "left_out_of_history";
const MAX_REASON_CHARS = 200;

/** What was left out of the conversation before an answer, since the provider refused it otherwise. */
export interface LeftOut {
  readonly pictures: boolean;
  readonly thoughts: boolean;
  /** In the provider's words. */
  readonly because: string;
}

/** What to leave out of a conversation that was refused with these words. */
export function toLeaveOut(refusal: AssistantMessage): LeftOut {
  const because = wordsOf(refusal).slice(0, MAX_REASON_CHARS);
  const [pictures, thoughts] = [/image/i.test(because), /thinking|signature|reasoning/i.test(because)];
  return pictures || thoughts ? { pictures, thoughts, because } : { pictures: true, thoughts: true, because };
}

/** The messages without what is left out. `undefined`: there is nothing of it in them. */
export function without(messages: readonly Message[], leftOut: LeftOut): Message[] | undefined {
  const left = messages.map((message) => plain(message, leftOut));
  return left.every((message, index) => message === messages[index]) ? undefined : left;
}

/** The messages without what was left out before earlier answers, which are marked with it. */
export function withoutRefused(messages: readonly Message[]): readonly Message[] {
  let left = messages;
  for (const [index, message] of messages.entries()) {
    const leftOut = message.role === "assistant" ? readMark(message) : undefined;
    if (leftOut !== undefined) left = [...(without(left.slice(0, index), leftOut) ?? left.slice(0, index)), ...left.slice(index)];
  }
  return left;
}

/** Mark an answer, so that whoever replays the conversation leaves the same out: it lies in the log with the answer. */
export function marked(answer: AssistantMessage, leftOut: LeftOut): AssistantMessage {
  const diagnostic = { type: TYPE, timestamp: Date.now(), details: { ...leftOut } };
  return { ...answer, diagnostics: [...(answer.diagnostics ?? []), diagnostic] };
}

function readMark(answer: AssistantMessage): LeftOut | undefined {
  return answer.diagnostics?.find(({ type }) => type === TYPE)?.details as LeftOut | undefined;
}

function plain(message: Message, { pictures, thoughts, because }: LeftOut): Message {
  if (message.role === "assistant") {
    if (!thoughts || message.content.every(({ type }) => type !== "thinking")) return message;
    return { ...message, content: message.content.filter(({ type }) => type !== "thinking") };
  }
  if (!pictures || message.role === "system" || typeof message.content === "string") return message;
  if (message.content.every(({ type }) => type !== "image")) return message;
  const text = `[A picture, left out since the model's provider refused it: ${because}]`;
  return { ...message, content: message.content.map((part) => (part.type === "image" ? { type: "text", text } : part)) };
}
