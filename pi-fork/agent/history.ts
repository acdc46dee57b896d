import type { AgentLane, Entry } from "@earendil-works/pi-agent-core";
import { BACKGROUND_CONTEXT } from "@earendil-works/pi-agent-core";
import type { AssistantMessage, ToolResultMessage, Usage } from "@earendil-works/pi-ai";
import { textOf } from "../tools/tool.ts";
import type { AgentEvent } from "./events.ts";
import { type AgentUsage, addUsage, NO_USAGE } from "./usage.ts";

/** The entries behind `fromTipId` on a lane, oldest first. */
export async function entriesBehind(lane: AgentLane, fromTipId: string | null): Promise<Entry[]> {
  const query = fromTipId === null ? {} : { stopAtId: fromTipId };
  const newestFirst = await lane.findEntries({ ...query, order: "newestFirst" }, BACKGROUND_CONTEXT);
  return newestFirst.filter((entry) => entry.id !== fromTipId).reverse();
}

/** The answer that an entry holds, whole or cut. */
export function answerOf(entry: Entry | undefined): AssistantMessage | undefined {
  return entry?.type === "message" && entry.message.role === "assistant" ? entry.message : undefined;
}

/** The tool result that an entry holds; the entry's id is the tool call's invocation id. */
export function toolResultOf(entry: Entry): ToolResultMessage | undefined {
  return entry.type === "message" && entry.message.role === "toolResult" ? entry.message : undefined;
}

/** The answer did not come to its end. */
export function isCut(answer: AssistantMessage): boolean {
  return answer.stopReason === "error" || answer.stopReason === "aborted";
}

/** Something of it can have been shown while it was streamed. */
export function hasPieces(answer: AssistantMessage): boolean {
  return answer.content.some((part) => part.type !== "toolCall");
}

/** The newest answer, whole or cut. */
export function lastAnswer(entries: readonly Entry[]): AssistantMessage | undefined {
  return entries.map(answerOf).findLast((answer) => answer !== undefined);
}

/** What the entries record as used, and what `estimate` says of the answers that record nothing. It is asked about each entry, in order. */
export function usageOf(entries: readonly Entry[], estimate: (entry: Entry) => Usage | undefined): AgentUsage {
  let usage = NO_USAGE;
  for (const entry of entries) {
    const estimated = estimate(entry);
    if (estimated !== undefined) usage = addUsage(usage, estimated);
    const answer = answerOf(entry);
    if (answer !== undefined) usage = addUsage(usage, answer.usage, isCut(answer) ? 0 : 1);
    const spent = toolResultOf(entry)?.usage ?? (entry.type === "compaction" ? entry.usage : undefined);
    if (spent !== undefined) usage = addUsage(usage, spent);
  }
  return usage;
}

/** What the entries tell, for whoever was told before a crash and may have missed the last of it. */
export function eventsOf(entries: readonly Entry[]): AgentEvent[] {
  const args = new Map<string, unknown>();
  return entries.flatMap((entry): AgentEvent[] => {
    const answer = answerOf(entry);
    if (answer !== undefined && !isCut(answer)) {
      for (const part of answer.content) if (part.type === "toolCall") args.set(part.id, part.arguments);
      return [answerEvent(entry.id, answer)];
    }
    const result = toolResultOf(entry);
    if (result === undefined) return [];
    const { toolName: tool, toolCallId } = result;
    const started = { kind: "tool_started", invocationId: entry.id, tool, args: args.get(toolCallId) ?? {}, resumed: false } as const;
    return [started, toolEndedEvent(entry.id, result)];
  });
}

export function answerEvent(entryId: string, answer: AssistantMessage): AgentEvent {
  const toolCalls = answer.content.filter((part) => part.type === "toolCall").length;
  return { kind: "answer", entryId, text: textOf(answer.content), toolCalls };
}

export function discardedEvent(entryId: string, answer: AssistantMessage): AgentEvent {
  return { kind: "answer_discarded", entryId, reason: answer.errorMessage ?? "cut" };
}

export function toolEndedEvent(invocationId: string, result: ToolResultMessage): Extract<AgentEvent, { kind: "tool_ended" }> {
  return { kind: "tool_ended", invocationId, tool: result.toolName, text: textOf(result.content), isError: result.isError };
}
