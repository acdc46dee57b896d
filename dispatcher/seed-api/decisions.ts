import { HarnessError } from "@serverless-harness/kit/errors";
import type { Leaf } from "@serverless-harness/proto/leaf";
import type { LeafStore } from "@serverless-harness/session";
import type { Caller } from "../callers/caller.ts";
import type { Leaves } from "../leaves.ts";
import { kindOf, type NumberedDecision } from "../numbered-decision.ts";
import { openQuestions } from "../questions.ts";

/** The question was answered, or its leaf ended, while this answer was on its way: what stands is told by the leaf. */
const OVERTAKEN: ReadonlySet<string> = new Set(["gate_decided", "gate_not_found", "leaf_ended", "deadline_passed"]);

/** Answer the question that a decision names, and return the leaf as it is then. A decision that names none that is open changes nothing. */
export async function answerQuestion(
  leaves: Leaves,
  caller: Caller,
  store: Pick<LeafStore, "events">,
  leaf: Leaf,
  decision: NumberedDecision | undefined,
): Promise<Leaf> {
  if (decision === undefined) return leaf;
  const question = (await openQuestions(store, leaf)).find(({ number }) => number === decision.questionNumber);
  if (question === undefined) return leaf;
  try {
    await leaves.decide(caller, leaf.leafId, question.gate.gateId, { kind: kindOf(decision), feedback: decision.feedback, decidedBy: "" });
  } catch (error) {
    if (!(error instanceof HarnessError) || !OVERTAKEN.has(error.reason)) throw error;
  }
  return await leaves.record(caller, leaf.leafId);
}
