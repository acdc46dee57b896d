import { type AgentLane, BACKGROUND_CONTEXT, type CompactionEntry, type Entry } from "@earendil-works/pi-agent-core";
import type { AssistantMessage, ToolResultMessage, Usage } from "@earendil-works/pi-ai";
import { textOf } from "../../tools/tool.ts";
import type { AgentEvent } from "./events.ts";
import { type AgentUsage, addUsage, NO_USAGE } from "./usage.ts";

/** What the log knows of an operation, as far as it is read. */
export interface OperationHistory {
  /** The entry before the others. */
  readonly before?: Entry;
  /** The operation has older entries, which were not read. */
  readonly cut: boolean;
  /** Oldest first. */
  readonly entries: readonly Entry[];
  /** Tokens of the conversation before them. */
  readonly contextTokens: number;
  /** What was used in all if the entries don't tell, except for the number of answers in them. */
  readonly usage?: AgentUsage;
}

/** The entries of a lane after `fromId`, oldest first, and that one before them; up to `tipId`, by default the newest. */
export async function entriesBehind(
  lane: AgentLane,
  fromId: string | null,
  tipId?: string | null,
): Promise<{ before?: Entry; entries: Entry[] }> {
  if (tipId === null || (tipId !== undefined && tipId === fromId)) return { entries: [] };
  const query = {
    order: "newestFirst",
    ...(fromId === null ? {} : { stopAtId: fromId }),
    ...(tipId === undefined ? {} : { start: tipId }),
  } as const;
  const entries = (await lane.findEntries(query, BACKGROUND_CONTEXT)).reverse();
  const before = entries[0]?.id === fromId ? entries.shift() : undefined;
  return before === undefined ? { entries } : { before, entries };
}

/** Messages that are read at once when the newest answer is looked for: it is among the last, and each can be large. */
const PAGE = 4;

/** Where an answer is looked for: after `stopAtId`, not after `start`, in at most `limit` messages. */
interface AnswerSearch {
  readonly start?: string;
  readonly stopAtId?: string | null;
  readonly limit?: number;
  /** Default: any, whole or cut. */
  readonly accept?: (answer: AssistantMessage) => boolean;
}

/** The newest answer of a lane. It is read back no further than needed. */
export async function newestAnswer(lane: AgentLane, search: AnswerSearch): Promise<AssistantMessage | undefined> {
  const { accept = () => true } = search;
  for await (const entry of newestMessages(lane, search)) {
    const answer = answerOf(entry);
    if (answer !== undefined && accept(answer)) return answer;
  }
  return undefined;
}

/** Messages of a lane, the newest first, in pages. */
export async function* newestMessages(lane: AgentLane, search: Omit<AnswerSearch, "accept">): AsyncGenerator<Entry> {
  const { stopAtId, limit = Number.POSITIVE_INFINITY } = search;
  const query = { type: "message", order: "newestFirst", limit: PAGE, ...(stopAtId ? { stopAtId } : {}) } as const;
  let { start } = search;
  for (let read = 0; read < limit; read += PAGE) {
    const page = await lane.findEntries(start === undefined ? query : { ...query, start }, BACKGROUND_CONTEXT);
    yield* page.filter((entry) => entry.id !== stopAtId);
    start = page.at(-1)?.parentId ?? undefined;
    if (page.length < PAGE || start === undefined) return;
  }
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

/** The model stopped since it reached its limit of output. */
export function isTruncated(answer: AssistantMessage): boolean {
  return answer.stopReason === "length";
}

/** The words of a message that was not the model's. */
export function promptTextOf(entry: Entry): string | undefined {
  if (entry.type !== "message" || entry.message.role !== "user") return undefined;
  const { content } = entry.message;
  return typeof content === "string" ? content : textOf(content);
}

/** Something of it can have been shown while it was streamed. */
export function hasPieces(answer: AssistantMessage): boolean {
  return answer.content.some((part) => part.type !== "toolCall");
}

/** The newest answer, whole or cut. */
export function lastAnswer(entries: readonly Entry[]): AssistantMessage | undefined {
  return entries.map(answerOf).findLast((answer) => answer !== undefined);
}

/**
 * What the entries record as used, and what `estimate` says of the answers that record nothing. It is asked about each entry, in order. `known`:
 * what was used in all, but for the number of answers in the entries and what is estimated of them.
 */
export function usageOf(entries: readonly Entry[], estimate: (entry: Entry) => Usage | undefined, known?: AgentUsage): AgentUsage {
  let usage = known ?? NO_USAGE;
  for (const entry of entries) {
    const estimated = estimate(entry);
    if (estimated !== undefined) usage = addUsage(usage, estimated);
    usage = { ...usage, modelCalls: usage.modelCalls + modelCallsIn(entry) };
    const recorded = recordedUsage(entry);
    if (known === undefined && recorded !== undefined) usage = addUsage(usage, recorded);
  }
  return usage;
}

/** Whole answers of the model that an entry stands for: a summary is one. */
export function modelCallsIn(entry: Entry): number {
  const answer = answerOf(entry);
  if (answer !== undefined) return isCut(answer) ? 0 : 1;
  return entry.type === "compaction" && !entry.fromHook ? 1 : 0;
}

function recordedUsage(entry: Entry): Usage | undefined {
  return answerOf(entry)?.usage ?? toolResultOf(entry)?.usage ?? (entry.type === "compaction" ? entry.usage : undefined);
}

/** What the entries tell, for whoever was told before a crash and may have missed the last of it. `before`: the entry before them. */
export function eventsOf(entries: readonly Entry[], before?: Entry): AgentEvent[] {
  const args = new Map<string, unknown>();
  return entries.flatMap((entry, index): AgentEvent[] => {
    if (entry.type === "compaction") return [compactedEvent(entry, entries[index - 1] ?? before)];
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

/** A conversation that the model refused ends with the answer that says so. */
export function compactedEvent({ id: entryId, tokensBefore }: CompactionEntry, before: Entry | undefined): AgentEvent {
  const answer = answerOf(before);
  return { kind: "compacted", entryId, tokensBefore, reason: answer !== undefined && isCut(answer) ? "overflow" : "threshold" };
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
