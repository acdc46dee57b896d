import type { Entry } from "@earendil-works/pi-agent-core";
import { isObject } from "@serverless-harness/kit/json-schema/well-formed";
import { FailureReason } from "@serverless-harness/proto/leaf";
import { TOO_LATE } from "../../tools/bounded.ts";
import { NOT_APPROVED } from "../../tools/gated.ts";
import { REQUEST_APPROVAL } from "../../tools/request-approval.ts";
import type { Submission } from "../../tools/submit.ts";
import { textOf } from "../../tools/tool.ts";
import type { AgentFailure } from "../log/failure.ts";
import { promptTextOf, toolResultOf } from "../log/history.ts";

/** What is known of a result that was not handed in yet. */
export interface ExpectedResultState {
  readonly refused: boolean;
  readonly reminded: boolean;
  /** A human has answered a question. Absent: not, or in a log of old. */
  readonly answered?: boolean;
}

/** The structured result that an operation owes, as far as its log has come. All of it follows from the log, so that it outlives the agent. */
export class ExpectedResult {
  /** The tool that hands it in. */
  readonly tool: string;
  #submission: Submission | undefined;
  #refused = false;
  #reminded = false;
  #answered = false;

  constructor(tool: string) {
    this.tool = tool;
  }

  /** What was handed in first. */
  get value(): Submission["value"] | undefined {
    return this.#submission?.value;
  }

  /** A human has answered a question of the agent. */
  get answered(): boolean {
    return this.#answered;
  }

  get state(): ExpectedResultState {
    return { refused: this.#refused, reminded: this.#reminded, answered: this.#answered };
  }

  /** What the entries say that are not noted again. */
  restore({ refused, reminded, answered = false }: ExpectedResultState): void {
    this.#answered = answered;
    this.#refused = refused;
    this.#reminded = reminded;
  }

  /** Take note of the operation's next entry. */
  note(entry: Entry): void {
    const result = toolResultOf(entry);
    if (result?.toolName === REQUEST_APPROVAL && !result.isError) this.#answered = true;
    if (result?.toolName === this.tool) {
      if (!result.isError) this.#submission ??= submissionIn(result.details);
      else if (!wasHeldBack(textOf(result.content))) this.#refused = true;
    }
    if (promptTextOf(entry) === this.#reminder) this.#reminded = true;
  }

  /** What to tell an agent that is about to end without the result: once. */
  followUp(): string | undefined {
    return this.#submission !== undefined || this.#reminded ? undefined : this.#reminder;
  }

  /** Why there is none. */
  missing(): AgentFailure {
    if (this.#refused) {
      const message = `the agent called ${this.tool} only in ways that do not match the schema, or not as a whole: see the tool calls in the leaf's events`;
      return { reason: FailureReason.INVALID_RESULT, retryable: false, message };
    }
    const message = `the agent ended without calling ${this.tool}, after a reminder as well: say in the prompt what to hand in`;
    return { reason: FailureReason.NO_RESULT, retryable: false, message };
  }

  get #reminder(): string {
    return `The task has no result yet. Call the tool ${this.tool} now, with the result as its arguments; an answer in words does not count.`;
  }
}

/** The call was not made at all, so that nothing is known of what it handed in. */
function wasHeldBack(text: string): boolean {
  return text.startsWith(NOT_APPROVED) || text === TOO_LATE;
}

function submissionIn(details: unknown): Submission | undefined {
  return isObject(details) && isObject(details["value"]) ? { value: details["value"] } : undefined;
}
