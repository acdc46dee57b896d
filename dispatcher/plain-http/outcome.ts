import {
  type Failure,
  FailureReason,
  FailureReasonSchema,
  LeafState,
  LeafStateSchema,
  type StateChanged,
} from "@serverless-harness/proto/leaf";
import { errorBody, type Made, type Reply, retryAfter } from "../http/reply.ts";

/** How a turn that is over is answered. */
export function outcomeReply(end: StateChanged, made: Made): Reply {
  if (end.state === LeafState.DONE) {
    const { sessionId, leafId } = made;
    // The last answer was whole: one that is cut at the model's limit goes on, or fails the turn.
    return { status: 200, body: { sessionId, response: end.result?.text ?? "", stopReason: "stop", leafId } };
  }
  if (end.failure !== undefined) return failureReply(end.failure, made);
  const state = (LeafStateSchema.value[end.state]?.localName ?? "ended").toLowerCase();
  return { status: 409, body: { ...errorBody(state, `the turn was ${state}: send it again if it is still wanted`), ...made } };
}

/** 503 where trying again may help, 500 for our own defect, 502 for everything behind us. */
function failureReply(failure: Failure, made: Made): Reply {
  const body = { ...errorBody(failureName(failure.reason), failure.message), ...made };
  if (failure.retryable) return { status: 503, headers: retryAfter(Number(failure.retryAfterMs)), body };
  return { status: failure.reason === FailureReason.INTERNAL ? 500 : 502, body };
}

/** A failure's reason as the API spells it, as `model_unavailable`. */
function failureName(reason: FailureReason): string {
  return (FailureReasonSchema.value[reason]?.localName ?? "INTERNAL").toLowerCase();
}
