import {
  type AgentLane,
  BACKGROUND_CONTEXT as CONTEXT,
  convertToLlm,
  operationPreparation,
  operationState,
  type Session,
  serializeConversation,
} from "@earendil-works/pi-agent-core";
import { entriesBehind, type OperationHistory } from "../log/history.ts";
import { tokensIn } from "../log/usage.ts";
import type { ExpectedResult } from "../narration/expected-result.ts";
import { contextTokensAt, type Price } from "../usage/interrupted.ts";
import { type Checkpoint, readCheckpoint, usageSince, writeCheckpoint } from "./checkpoint.ts";
import { forgotten } from "./compactor.ts";
import type { Summaries } from "./summaries.ts";

/** What operations are read from. */
interface HistoryReaderParts {
  readonly lane: AgentLane;
  readonly session: Session;
  readonly summaries: Summaries;
  readonly expected: ExpectedResult | undefined;
  readonly price: Price;
}

/** Reads what the log knows of an operation: from its beginning, or from its last compaction if there was one. */
export class HistoryReader {
  readonly #parts: HistoryReaderParts;

  constructor(parts: HistoryReaderParts) {
    this.#parts = parts;
  }

  /** `fromTipId`: the newest entry before the operation. `tipId`: its last one, if it is over; `null` if it has none. */
  async read(operationId: string, fromTipId: string | null, tipId?: string | null): Promise<OperationHistory> {
    const { lane, session, summaries, expected, price } = this.#parts;
    const found = await readCheckpoint(session, operationId);
    if (found === undefined)
      return { ...(await entriesBehind(lane, fromTipId, tipId)), cut: false, contextTokens: await contextTokensAt(lane, fromTipId) };
    const checkpoint = await takeUpSummary(session, found, summaries, price);
    if (checkpoint.expected !== undefined) expected?.restore(checkpoint.expected);
    const [behind, usage] = await Promise.all([entriesBehind(lane, checkpoint.entryId, tipId), usageSince(session, checkpoint)]);
    return { ...behind, cut: true, contextTokens: checkpoint.contextTokens, usage };
  }
}

/** Tokens of Pi's own words around a conversation that is to be summed up. */
const INSTRUCTION_TOKENS = 500;

/**
 * Take up an operation in which a conversation is being summed up. A request whose agent died under it is charged, once, with an estimate of its
 * input: what came of it, nobody knows. Returns the checkpoint as it is now.
 */
async function takeUpSummary(session: Session, checkpoint: Checkpoint, summaries: Summaries, price: Price): Promise<Checkpoint> {
  const { operationId } = checkpoint;
  const state = (await session.getValue(operationState(operationId), CONTEXT))?.value;
  if (state === undefined || !("task" in state)) return checkpoint;
  const preparation = (await session.getValue(operationPreparation(operationId, state.task.taskId), CONTEXT))?.value;
  if (preparation?.kind !== "compaction") return checkpoint;
  summaries.carryOn(forgotten(preparation));
  if (state.at !== "summary.effect_pending" || state.request === undefined) return checkpoint;
  const { index, usageId } = state.request;
  if (checkpoint.interrupted[usageId] !== undefined) return checkpoint;
  const { messagesToSummarize, turnPrefixMessages, previousSummary = "" } = preparation;
  const history = index === 0 && messagesToSummarize.length > 0;
  const asked = serializeConversation(convertToLlm(history ? messagesToSummarize : turnPrefixMessages));
  const input = INSTRUCTION_TOKENS + tokensIn(asked) + (history ? tokensIn(previousSummary) : 0);
  const cost = { input: 0, output: 0, cacheRead: 0, cacheWrite: 0, total: 0 };
  const usage = { input, output: 0, cacheRead: 0, cacheWrite: 0, totalTokens: input, cost };
  const { provider, modelId } = state.summaryContext.configuration.model;
  const charged = { ...usage, cost: price(provider, modelId, usage) };
  const noted = { ...checkpoint, interrupted: { ...checkpoint.interrupted, [usageId]: charged } };
  await writeCheckpoint(session, noted);
  return noted;
}
