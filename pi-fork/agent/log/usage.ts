import type { Usage } from "@earendil-works/pi-ai";

/** What was used. */
export interface AgentUsage {
  /** Requests to the model that got an answer. */
  readonly modelCalls: number;
  /** Not cached. */
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly cacheReadTokens: number;
  readonly cacheWriteTokens: number;
  /** Millionths of a US dollar, by pi-ai's price list. */
  readonly costMicroUsd: number;
}

export const NO_USAGE: AgentUsage = {
  modelCalls: 0,
  inputTokens: 0,
  outputTokens: 0,
  cacheReadTokens: 0,
  cacheWriteTokens: 0,
  costMicroUsd: 0,
};

/** `usage` and what Pi recorded of one request, or of a tool. */
export function addUsage(usage: AgentUsage, recorded: Usage, modelCalls = 0): AgentUsage {
  return {
    modelCalls: usage.modelCalls + modelCalls,
    inputTokens: usage.inputTokens + recorded.input,
    outputTokens: usage.outputTokens + recorded.output,
    cacheReadTokens: usage.cacheReadTokens + recorded.cacheRead,
    cacheWriteTokens: usage.cacheWriteTokens + recorded.cacheWrite,
    costMicroUsd: usage.costMicroUsd + Math.round(recorded.cost.total * 1e6),
  };
}

export function sumOf(a: AgentUsage, b: AgentUsage): AgentUsage {
  return {
    modelCalls: a.modelCalls + b.modelCalls,
    inputTokens: a.inputTokens + b.inputTokens,
    outputTokens: a.outputTokens + b.outputTokens,
    cacheReadTokens: a.cacheReadTokens + b.cacheReadTokens,
    cacheWriteTokens: a.cacheWriteTokens + b.cacheWriteTokens,
    costMicroUsd: a.costMicroUsd + b.costMicroUsd,
  };
}

export const CHARS_PER_TOKEN = 4;

/** A rough count of the tokens in a text. */
export function tokensIn(text: string): number {
  return Math.ceil(text.length / CHARS_PER_TOKEN);
}
