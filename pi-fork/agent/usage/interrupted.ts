import { type AgentLane, type Entry, estimateTokens } from "@earendil-works/pi-agent-core";
import type { AssistantMessage, Usage } from "@earendil-works/pi-ai";
import { answerOf, isCut, newestAnswer } from "../log/history.ts";
import { tokensIn } from "../log/usage.ts";

/** How Pi words an answer whose agent ended under it. */
const INTERRUPTED = "Assistant request was interrupted.";
/** Entries before an operation that are searched for an answer. */
const SEARCHED = 50;

/** What tokens of a model cost. */
export type Price = (provider: string, modelId: string, usage: Usage) => Usage["cost"];

/**
 * Estimates what answers used whose agent ended under them: the provider bills them, and tells nobody. The input is what the last whole answer
 * reported, and what came after it at four characters to a token; the output is what was streamed. It follows from the log.
 */
export class InterruptedAnswers {
  readonly #instructions: () => string;
  readonly #price: Price;
  /** Tokens that the last whole answer reported; `undefined`: the instructions', which are only counted where they are needed. */
  #reported: number | undefined;
  /** Tokens of what came after it. */
  #behind = 0;

  /** `instructions`: all that goes with each request besides the conversation, as text. */
  constructor(instructions: () => string, price: Price) {
    this.#instructions = instructions;
    this.#price = price;
  }

  /** The operation goes on from a conversation of so many tokens, instructions included; 0: not known. */
  begin(contextTokens: number): void {
    this.#start(contextTokens > 0 ? contextTokens : undefined, 0);
  }

  /** Take the operation's next entry. Returns what it is charged with, if it is an answer that was interrupted. */
  add(entry: Entry): Usage | undefined {
    if (entry.type === "compaction") this.#start(undefined, tokensIn(entry.summary) + sum(entry.retainedTail.map(estimateTokens)));
    if (entry.type !== "message") return undefined;
    const answer = answerOf(entry);
    if (answer !== undefined && isInterrupted(answer)) return this.#charge(answer);
    const reported = answer === undefined || isCut(answer) ? 0 : answer.usage.totalTokens;
    if (reported > 0) this.#start(reported, 0);
    else if (answer === undefined || !isCut(answer)) this.#behind += estimateTokens(entry.message);
    return undefined;
  }

  #start(reported: number | undefined, behind: number): void {
    this.#reported = reported;
    this.#behind = behind;
  }

  #charge(answer: AssistantMessage): Usage {
    const input = (this.#reported ?? tokensIn(this.#instructions())) + this.#behind;
    const output = estimateTokens(answer);
    const cost = { input: 0, output: 0, cacheRead: 0, cacheWrite: 0, total: 0 };
    const usage = { input, output, cacheRead: 0, cacheWrite: 0, totalTokens: input + output, cost };
    return { ...usage, cost: this.#price(answer.provider, answer.model, usage) };
  }
}

/** Tokens of the conversation at an entry of a lane, as the newest whole answer reported it; 0 if there is none nearby. */
export async function contextTokensAt(lane: AgentLane, entryId: string | null): Promise<number> {
  if (entryId === null) return 0;
  const answer = await newestAnswer(lane, { start: entryId, limit: SEARCHED, accept: (each) => !isCut(each) });
  return answer?.usage.totalTokens ?? 0;
}

function isInterrupted(answer: AssistantMessage): boolean {
  return isCut(answer) && answer.usage.totalTokens === 0 && answer.errorMessage?.startsWith(INTERRUPTED) === true;
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
