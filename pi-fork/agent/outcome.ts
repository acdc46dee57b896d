import type { OperationResultRecord } from "@earendil-works/pi-agent-core";
import type { AssistantMessage } from "@earendil-works/pi-ai";
import { FailureReason } from "@serverless-harness/proto/leaf";
import type { Submission } from "../tools/submit.ts";
import { type AgentFailure, modelFailure, summaryFailure } from "./log/failure.ts";
import { isCut } from "./log/history.ts";
import type { ExpectedResult } from "./narration/expected-result.ts";
import { NO_ANSWER } from "./narration/unfinished.ts";
import type { Verdict } from "./operations/driven.ts";
import type { Rest } from "./rest.ts";

/** How a run of an agent ended. What it used was told in events, the last one before this. */
export type RunOutcome =
  /** The operation is over: it has an answer. */
  | {
      readonly kind: "completed";
      readonly text: string;
      /** The structured result, if one was asked for. */
      readonly value?: Submission["value"];
    }
  /** The operation is open and waits: run it again, not before the time that is given (milliseconds since the Unix epoch). */
  | { readonly kind: "retry"; readonly failure: AgentFailure; readonly notBeforeMs?: number }
  /** It was ended before it had an answer. */
  | Verdict
  /** The operation is open, and all that it does at present is to wait for people and commands. The agent is closed. */
  | ({ readonly kind: "waiting" } & Rest)
  /** The agent was closed; the operation is open, and what runs in the sandbox goes on. */
  | { readonly kind: "suspended" }
  /** The session or the workspace has a newer owner: nothing more may be written anywhere. */
  | { readonly kind: "superseded" };

/** An operation that Pi has settled. */
export interface Settled {
  readonly record: OperationResultRecord;
  /** Its newest one. */
  readonly answer: AssistantMessage | undefined;
  /** What its last answer says. */
  readonly text: string;
  /** Why it was ended, as far as this agent knows: one that takes over what another had ended finds the reason in the log. */
  readonly verdict: Verdict | undefined;
  /** The structured result that it owes. */
  readonly expected: ExpectedResult | undefined;
  /** The newest request for a summary, if it failed in this agent. */
  readonly failedSummary: AssistantMessage | undefined;
}

/** How an operation ended. */
export function settledOutcome({ record, answer, text, verdict, expected, failedSummary }: Settled): RunOutcome {
  const value = expected?.value;
  if (record.status === "completed" && value === undefined) {
    return expected === undefined
      ? { kind: "completed", text: text.trim() === "" ? NO_ANSWER : text }
      : { kind: "failed", failure: expected.missing() };
  }
  if (record.status === "aborted" && verdict !== undefined) return verdict;
  // An operation that goes on after its result is ended for it.
  if (value !== undefined && record.status !== "failed") return { kind: "completed", text, value };
  if (record.error?.code === "summarization_failed") return { kind: "failed", failure: unsummed(record, answer, failedSummary) };
  if (answer !== undefined && isCut(answer)) return { kind: "failed", failure: modelFailure(answer) };
  const message = record.error?.message ?? "the run was ended before it had an answer";
  return { kind: "failed", failure: { reason: FailureReason.INTERNAL, retryable: false, message } };
}

/** Why the conversation could not be summed up: in the words of the request that failed, or in Pi's if another agent made it. */
function unsummed(
  { error }: OperationResultRecord,
  answer: AssistantMessage | undefined,
  failed: AssistantMessage | undefined,
): AgentFailure {
  if (failed !== undefined) return summaryFailure(failed);
  if (answer !== undefined && isCut(answer)) return modelFailure(answer);
  const message = `the conversation grew too long, and could not be summed up: ${error?.message ?? "no reason given"}`;
  return { reason: FailureReason.MODEL_UNAVAILABLE, retryable: false, message };
}
