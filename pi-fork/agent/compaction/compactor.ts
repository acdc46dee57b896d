import {
  type AgentHarness,
  type AgentLane,
  BACKGROUND_CONTEXT as CONTEXT,
  type CompactionPreparation,
  type CompactionSettings,
  DEFAULT_COMPACTION_SETTINGS,
  estimateTokens,
  type Session,
} from "@earendil-works/pi-agent-core";
import { answerOf, isCut, isTruncated } from "../log/history.ts";
import { CHARS_PER_TOKEN } from "../log/usage.ts";
import type { ExpectedResult } from "../narration/expected-result.ts";
import type { Narrator } from "../narration/narrator.ts";
import { writeCheckpoint } from "./checkpoint.ts";
import type { Summaries } from "./summaries.ts";

/** What a compactor decides by. */
export interface CompactorParts {
  readonly lane: AgentLane;
  readonly session: Session;
  readonly narrator: Narrator;
  readonly expected: ExpectedResult | undefined;
  readonly summaries: Summaries;
  /** All that was told is written, or it rejects. */
  readonly flush: () => Promise<void>;
}

/** What Pi is told to do. Nothing: it asks the model for a summary. */
type Decision = { readonly decline: true } | { readonly compaction: NonNullable<ReturnType<typeof shortened>> } | undefined;

/** Decides whether a conversation is summed up when Pi wants to, and notes how far the operation has come. */
export class Compactor {
  readonly #parts: CompactorParts;

  constructor(parts: CompactorParts) {
    this.#parts = parts;
  }

  attach(harness: AgentHarness<never>): void {
    harness.hooks.on("before_compaction", ({ reason, preparation, runId }) => this.#decide(reason === "overflow", preparation, runId));
  }

  async #decide(overflow: boolean, preparation: CompactionPreparation, operationId: string): Promise<Decision> {
    const { expected, summaries } = this.#parts;
    if (overflow && !isWorthwhile(preparation)) {
      const compaction = shortened(preparation);
      if (compaction !== undefined) {
        await this.#note(operationId, preparation.tokensBefore);
        return { compaction };
      }
      if (!isPossible(preparation)) return { decline: true };
    }
    // A result was handed in: the operation ends with the next request.
    if (!overflow && (!isWorthwhile(preparation) || expected?.value !== undefined || (await this.#isAnswered()))) return { decline: true };
    await this.#note(operationId, preparation.tokensBefore);
    summaries.carryOn(forgotten(preparation));
    return undefined;
  }

  /** The operation has its answer: whether anybody goes on with the session, its next leaf will know. */
  async #isAnswered(): Promise<boolean> {
    const answer = answerOf(await this.#parts.lane.findEntry({}, CONTEXT));
    return answer !== undefined && !isCut(answer) && !isTruncated(answer) && answer.content.every((part) => part.type !== "toolCall");
  }

  async #note(operationId: string, contextTokens: number): Promise<void> {
    const { lane, session, narrator, expected, flush } = this.#parts;
    await flush();
    const entryId = await lane.getTipId(CONTEXT);
    if (entryId === null) return;
    const { usage: recorded } = await session.getStats(CONTEXT);
    const checkpoint = { operationId, entryId, contextTokens, usage: narrator.usage, recorded, interrupted: {} };
    await writeCheckpoint(session, expected === undefined ? checkpoint : { ...checkpoint, expected: expected.state });
  }
}

/** The earlier summary, where Pi leaves it out of the next one. */
export function forgotten(
  preparation: Pick<CompactionPreparation, "messagesToSummarize" | "isSplitTurn" | "previousSummary">,
): string | undefined {
  const { messagesToSummarize, isSplitTurn, previousSummary } = preparation;
  return isSplitTurn && messagesToSummarize.length === 0 ? previousSummary : undefined;
}

/** Of a small window, so much is left free for the answer, and as much of the newest conversation is kept as it is. */
const SHARE = 1 / 4;
/** What is summed up has to be this large a share of what is kept, or summing up costs more than it brings. */
const LEAST_GAIN = 1 / 4;

/**
 * When a conversation is summed up, and how much of it: Pi's own numbers, which take a large window for granted, scaled down if the model's
 * has fewer than some 80,000 tokens. With Pi's, a model of 16,000 would sum up before each request and keep more than fits.
 */
export function compactionSettings(contextWindow: number): CompactionSettings {
  const { reserveTokens, keepRecentTokens } = DEFAULT_COMPACTION_SETTINGS;
  const share = Math.max(1, Math.floor(contextWindow * SHARE));
  return { enabled: true, reserveTokens: Math.min(reserveTokens, share), keepRecentTokens: Math.min(keepRecentTokens, share) };
}

/**
 * Summing up would make the conversation so much shorter that it is worth a request. If it is not, instructions and newest messages fill the
 * window, and each request would be followed by another summary for ever.
 */
function isWorthwhile({ messagesToSummarize, turnPrefixMessages, settings }: CompactionPreparation): boolean {
  const tokens = tokensIn([...messagesToSummarize, ...turnPrefixMessages]);
  return tokens > 0 && tokens >= settings.keepRecentTokens * LEAST_GAIN;
}

/** There is anything to sum up. Pi would ask for a summary of nothing. */
function isPossible({ messagesToSummarize, turnPrefixMessages }: CompactionPreparation): boolean {
  return messagesToSummarize.length + turnPrefixMessages.length > 0;
}

/** Tool results are never cut to less, in characters. */
const LEAST_CHARS = 400;

type Messages = CompactionPreparation["retainedTail"];
type Compaction = { readonly summary: string; readonly retainedTail: Messages; readonly tokensBefore: number };

/**
 * What to do with a conversation that does not fit and of which nothing can be summed up, since its newest messages alone fill the window: the
 * output of tools in them is cut. `undefined` if there is nothing to cut.
 */
function shortened(preparation: CompactionPreparation): Compaction | undefined {
  const { messagesToSummarize, turnPrefixMessages, retainedTail, previousSummary, tokensBefore, settings } = preparation;
  const all = [...messagesToSummarize, ...turnPrefixMessages, ...retainedTail];
  const results = all.filter((message) => message.role === "toolResult").length;
  const limit = Math.max(LEAST_CHARS, Math.floor((settings.keepRecentTokens * CHARS_PER_TOKEN) / Math.max(1, results)));
  const cut = all.map((message) => withShortResult(message, limit));
  if (tokensIn(cut) >= tokensIn(all)) return undefined;
  return { summary: previousSummary ?? "Nothing came before; long output of tools was cut.", retainedTail: cut, tokensBefore };
}

function withShortResult(message: Messages[number], limit: number): Messages[number] {
  if (message.role !== "toolResult") return message;
  const content = message.content.map((part) => {
    if (part.type === "image") return { type: "text" as const, text: "[A picture, left out to fit into the model's window]" };
    if (part.text.length <= limit) return part;
    return {
      ...part,
      text: `${part.text.slice(0, limit)}\n\n[${part.text.length - limit} more characters, cut to fit into the model's window]`,
    };
  });
  return { ...message, content };
}

function tokensIn(messages: Messages): number {
  return messages.reduce((sum, message) => sum + estimateTokens(message), 0);
}
