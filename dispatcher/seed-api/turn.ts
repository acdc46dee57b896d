import { Code } from "@connectrpc/connect";
import { HarnessError } from "@serverless-harness/kit/errors";
import { FailureReason, LeafState, type StateChanged } from "@serverless-harness/proto/leaf";
import { parseObject } from "../http/body.ts";
import type { Made, Reply } from "../http/reply.ts";
import { outcomeReply } from "../plain-http/outcome.ts";
import { type TurnForm, turnSpec } from "../plain-http/turn.ts";
import { sessionName } from "./session-name.ts";

/** Failures that the seed's clients find in an answer: the model's own, and those of a turn that was ended for what it used. */
const ENDS_TURN: ReadonlySet<FailureReason> = new Set([
  FailureReason.MODEL_UNAVAILABLE,
  FailureReason.MODEL_REFUSED,
  FailureReason.OUTPUT_LIMIT,
  FailureReason.BUDGET_EXCEEDED,
  FailureReason.DEADLINE_EXCEEDED,
]);

/** Turns as the seed's clients know them: a session may be named by any text, and a model that fails is told in an answer of status 200. */
export const SEED_TURN: TurnForm = {
  read: (body) => {
    const spec = turnSpec(objectOf(body));
    const { sessionId } = spec;
    return { spec: sessionId === "" ? spec : { ...spec, sessionId: sessionName(sessionId) }, sessionId };
  },
  outcome: seedOutcome,
};

function seedOutcome(end: StateChanged, made: Made): Reply {
  const { sessionId, leafId } = made;
  if (end.state === LeafState.CANCELLED || end.state === LeafState.ABORTED)
    return { status: 200, body: { sessionId, response: "", stopReason: "aborted", errorMessage: "Request was aborted", leafId } };
  if (end.failure === undefined) return outcomeReply(end, made);
  const { reason, message } = end.failure;
  const errorMessage = message || "Request error";
  if (!ENDS_TURN.has(reason)) return { status: 500, body: { error: errorMessage, sessionId, leafId } };
  return { status: 200, body: { sessionId, response: "", stopReason: "error", errorMessage, leafId } };
}

/** Whatever else is JSON has no prompt. */
function objectOf(body: Buffer): Record<string, unknown> {
  try {
    return parseObject(body, '{"prompt": "..."}');
  } catch (error) {
    if (isOtherJson(body))
      throw new HarnessError(Code.InvalidArgument, "prompt_required", 'send an object with a prompt: {"prompt": "..."}');
    throw error;
  }
}

function isOtherJson(body: Buffer): boolean {
  try {
    return JSON.parse(body.toString("utf8")) !== null;
  } catch {
    return false;
  }
}
