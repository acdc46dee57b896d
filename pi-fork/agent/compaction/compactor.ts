import {
  type AgentHarness,
  type AgentLane,
  BACKGROUND_CONTEXT as CONTEXT,
  type CompactionPreparation,
  type Session,
} from "@earendil-works/pi-agent-core";
import type { ExpectedResult } from "../expected-result.ts";
import { answerOf, isCut, isTruncated } from "../log/history.ts";
import type { Narrator } from "../narrator.ts";
import { writeCheckpoint } from "./checkpoint.ts";
import { isPossible, isWorthwhile } from "./settings.ts";
import { shortened } from "./shorten.ts";
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
