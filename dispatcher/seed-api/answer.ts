import { type Failure, FailureReason, type Leaf, LeafKind, LeafState, type Usage } from "@serverless-harness/proto/leaf";
import type { Question } from "../questions.ts";
import { isRun } from "../run-labels.ts";
import { type EndWords, endWords } from "../volume/contents.ts";

/** Where a run stands, in the seed's words. */
export type RunAnswer =
  | { readonly status: "queued" }
  | { readonly status: "done"; readonly verdict: Verdict }
  | { readonly status: "solved"; readonly patch: string; readonly usage: RunUsage }
  | { readonly status: "paused"; readonly question: Question }
  | { readonly status: "aborted" }
  | { readonly status: "failed"; readonly reason: RunFailure; readonly message: string };

/** The closed list of the seed's reasons. */
export type RunFailure = "no_verdict" | "invalid_verdict" | "bad_inputs" | "error" | "saturated";

interface Verdict {
  readonly item_id: unknown;
  readonly verdict: unknown;
  readonly reason: unknown;
}

/** Tokens. */
interface RunUsage {
  readonly input: number;
  readonly output: number;
  readonly cacheRead: number;
  readonly cacheWrite: number;
  readonly total: number;
}

/** What a leaf's record says; `questions`: those that wait for an answer. */
export function answerOf(leaf: Leaf, questions: readonly Question[]): RunAnswer {
  switch (leaf.state) {
    case LeafState.DONE:
      return leaf.spec?.kind === LeafKind.SOLVE ? solved(leaf) : done(leaf);
    case LeafState.FAILED:
      return { status: "failed", ...failureOf(leaf) };
    // Both are a human's word, and final.
    case LeafState.ABORTED:
    case LeafState.CANCELLED:
      return { status: "aborted" };
    case LeafState.AWAITING_APPROVAL: {
      const [question] = questions;
      return question === undefined ? { status: "queued" } : { status: "paused", question };
    }
    default:
      return { status: "queued" };
  }
}

/** In which words the files of a leaf tell its end: those of a run in the seed's, all others in ours. */
export function runWords(leaf: Leaf): EndWords {
  if (!isRun(leaf)) return endWords(leaf);
  const answer = answerOf(leaf, []);
  return { status: answer.status === "solved" ? "done" : answer.status, reason: answer.status === "failed" ? wordOf(answer.reason) : null };
}

/** A leaf that is over for want of a sandbox is tried no more: that is an error then. */
function wordOf(reason: RunFailure): RunFailure {
  return reason === "saturated" ? "error" : reason;
}

function done({ result }: Leaf): RunAnswer {
  const { item_id, verdict, reason } = result?.value ?? {};
  return { status: "done", verdict: { item_id, verdict, reason } };
}

function solved({ result, usage }: Leaf): RunAnswer {
  return { status: "solved", patch: result?.patch ?? "", usage: tokensOf(usage) };
}

function tokensOf(usage: Usage | undefined): RunUsage {
  const [input, output, cacheRead, cacheWrite] = [
    usage?.inputTokens,
    usage?.outputTokens,
    usage?.cacheReadTokens,
    usage?.cacheWriteTokens,
  ].map((tokens) => Number(tokens ?? 0n)) as [number, number, number, number];
  return { input, output, cacheRead, cacheWrite, total: input + output + cacheRead + cacheWrite };
}

function failureOf({ failure, spec }: Leaf): { reason: RunFailure; message: string } {
  const message = failure?.message ?? "";
  const reason = failure === undefined ? "error" : reasonOf(failure, spec?.unusable !== "", spec?.kind === LeafKind.TASK);
  if (failure?.reason === FailureReason.BAD_INPUTS && reason === "error" && spec?.repository !== undefined)
    return { reason, message: `converge failed: ${message}` };
  return { reason, message };
}

function reasonOf({ reason, retryable }: Failure, unusable: boolean, owesVerdict: boolean): RunFailure {
  switch (reason) {
    case FailureReason.NO_RESULT:
      return "no_verdict";
    // It stopped without one, since it had to.
    case FailureReason.BUDGET_EXCEEDED:
      return owesVerdict ? "no_verdict" : "error";
    case FailureReason.INVALID_RESULT:
      return owesVerdict ? "invalid_verdict" : "error";
    case FailureReason.BAD_INPUTS:
      return unusable ? "bad_inputs" : "error";
    case FailureReason.SANDBOX_UNAVAILABLE:
      return retryable ? "saturated" : "error";
    default:
      return "error";
  }
}
