import { FailureReason } from "@serverless-harness/proto/leaf";
import type { AgentFailure } from "../log/failure.ts";
import type { AgentUsage } from "../log/usage.ts";

/** Bounds of one operation, over all the agents that work on it. */
export interface AgentLimits {
  /** Answers of the model. */
  readonly maxModelCalls: number;
  /** Answers of the model whose tool calls are made. Absent: all. */
  readonly maxToolTurns?: number;
  /** Tokens in and out, cached ones included. Absent: unbounded. */
  readonly maxTokens?: number;
  /** Millionths of a US dollar. Absent: unbounded. */
  readonly maxCostMicroUsd?: number;
  /** Milliseconds since the Unix epoch. Absent: unbounded. */
  readonly deadlineMs?: number;
}

/** More was used than may be: nothing more may happen, and an answer that came too late does not count. */
export function exceeded(usage: AgentUsage, limits: AgentLimits): AgentFailure | undefined {
  return firstReached(usage, limits, (used, limit) => used > limit);
}

/** All was used that may be: the model may not be asked again. */
export function exhausted(usage: AgentUsage, limits: AgentLimits): AgentFailure | undefined {
  return firstReached(usage, limits, (used, limit) => used >= limit);
}

function firstReached(usage: AgentUsage, limits: AgentLimits, reached: (used: number, limit: number) => boolean): AgentFailure | undefined {
  const { maxModelCalls, maxTokens, maxCostMicroUsd } = limits;
  if (reached(usage.modelCalls, maxModelCalls)) return failure(`${maxModelCalls} model calls`, usage.modelCalls);
  if (maxTokens !== undefined && reached(tokensOf(usage), maxTokens)) return failure(`${maxTokens} tokens`, tokensOf(usage));
  if (maxCostMicroUsd !== undefined && reached(usage.costMicroUsd, maxCostMicroUsd))
    return failure(`a cost of ${maxCostMicroUsd} millionths of a US dollar`, usage.costMicroUsd);
  return undefined;
}

function tokensOf({ inputTokens, outputTokens, cacheReadTokens, cacheWriteTokens }: AgentUsage): number {
  return inputTokens + outputTokens + cacheReadTokens + cacheWriteTokens;
}

function failure(limit: string, used: number): AgentFailure {
  const message = `the limit of ${limit} was reached before the agent was done (used: ${used}): raise it, or ask for less`;
  return { reason: FailureReason.BUDGET_EXCEEDED, retryable: false, message };
}
