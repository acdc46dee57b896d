import {
  BACKGROUND_CONTEXT as CONTEXT,
  convertToLlm,
  operationPreparation,
  operationState,
  type Session,
  serializeConversation,
} from "@earendil-works/pi-agent-core";
import type { Price } from "../usage/interrupted.ts";
import { tokensIn } from "../usage/tokens.ts";
import { type Checkpoint, writeCheckpoint } from "./checkpoint.ts";
import { forgotten } from "./compactor.ts";
import type { Summaries } from "./summaries.ts";

/** Tokens of Pi's own words around a conversation that is to be summed up. */
const INSTRUCTION_TOKENS = 500;

/**
 * Take up an operation in which a conversation is being summed up. A request whose agent died under it is charged, once, with an estimate of its
 * input: what came of it, nobody knows. Returns the checkpoint as it is now.
 */
export async function takeUpSummary(session: Session, checkpoint: Checkpoint, summaries: Summaries, price: Price): Promise<Checkpoint> {
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
