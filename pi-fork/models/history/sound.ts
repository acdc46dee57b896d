import type { Api, AssistantMessage, Message, ToolCall, ToolResultMessage, Usage } from "@earendil-works/pi-ai";
import { isObject } from "@serverless-harness/kit/json-schema/well-formed";
import type { CallIds } from "./call-ids.ts";

/** APIs that refuse a thought without words, even a signed one. */
const WITHOUT_BLANK_THOUGHTS = new Set<Api>(["anthropic-messages", "bedrock-converse-stream"]);
/** What every API takes as a tool's name. */
const NAME = /[^a-zA-Z0-9_-]/g;
const MAX_NAME_CHARS = 64;

/** The messages that an API gets, so that it takes them. Ids of earlier answers are noted in `ids`, for those of the next one. */
export function soundHistory(messages: readonly Message[], api: Api, ids: CallIds): Message[] {
  /** New ids of the newest answer's calls, in order, by their old ones. */
  let renamed = new Map<string, string[]>();
  return messages.map((message) => {
    if (message.role === "toolResult") return withId(message, renamed.get(message.toolCallId)?.shift());
    if (message.role !== "assistant" || isFailed(message)) return message;
    const sound = soundAnswer(message, api, ids);
    renamed = new Map();
    const before = callsIn(message);
    for (const [index, { id }] of callsIn(sound).entries()) {
      const old = before[index]?.id ?? id;
      renamed.set(old, [...(renamed.get(old) ?? []), id]);
    }
    return { ...sound, content: sound.content.map((part) => (part.type === "toolCall" ? withObject(part) : part)) };
  });
}

/**
 * A whole answer as the log takes it in: every call has a legal id and name of its own, no thought is blank, and what was used is in numbers. A call's
 * arguments stay as they came, since whoever makes the call refuses those that are no object.
 */
export function soundAnswer(answer: AssistantMessage, api: Api, ids: CallIds): AssistantMessage {
  const content = answer.content.flatMap((part): AssistantMessage["content"] => {
    if (part.type === "toolCall") return [{ ...part, id: ids.take(part.id), name: legalName(part.name) }];
    if (part.type !== "thinking" || !WITHOUT_BLANK_THOUGHTS.has(api)) return [part];
    const blank = part.redacted === true ? !part.thinkingSignature : part.thinking.trim() === "";
    return blank ? [] : [part];
  });
  return { ...answer, content, usage: soundUsage(answer.usage) };
}

/** No API gets it again. */
function isFailed({ stopReason }: AssistantMessage): boolean {
  return stopReason === "error" || stopReason === "aborted";
}

function callsIn({ content }: AssistantMessage): ToolCall[] {
  return content.filter((part) => part.type === "toolCall");
}

function withId(result: ToolResultMessage, id = result.toolCallId): ToolResultMessage {
  return { ...result, toolCallId: id, toolName: legalName(result.toolName) };
}

/** APIs take nothing but an object as a call's arguments. */
function withObject(call: ToolCall): ToolCall {
  return isObject(call.arguments) ? call : { ...call, arguments: { arguments: call.arguments } };
}

/** Of a call it may be missing, whatever its type says. */
function legalName(name: string | undefined): string {
  return (
    String(name ?? "")
      .replace(NAME, "_")
      .slice(0, MAX_NAME_CHARS) || "unnamed_tool"
  );
}

function soundUsage(usage: Usage): Usage {
  const count = (value: number): number => (Number.isFinite(value) && value > 0 ? value : 0);
  const { input, output, cacheRead, cacheWrite, totalTokens, cost } = usage;
  return {
    ...usage,
    input: count(input),
    output: count(output),
    cacheRead: count(cacheRead),
    cacheWrite: count(cacheWrite),
    totalTokens: count(totalTokens),
    cost: {
      input: count(cost.input),
      output: count(cost.output),
      cacheRead: count(cost.cacheRead),
      cacheWrite: count(cost.cacheWrite),
      total: count(cost.total),
    },
  };
}
