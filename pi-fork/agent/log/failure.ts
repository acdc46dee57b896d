import { type AssistantMessage, isContextOverflow, isRetryableAssistantError } from "@earendil-works/pi-ai";
import { HarnessError } from "@serverless-harness/kit/errors";
import { FailureReason } from "@serverless-harness/proto/leaf";
import { httpOutcome, isTransient } from "../../models/answers/http-outcome.ts";
import { isConversationRefused, wordsOf } from "../../models/history/refusal.ts";

/** Why an agent has no answer. */
export interface AgentFailure {
  readonly reason: FailureReason;
  /** Trying again may help. */
  readonly retryable: boolean;
  /** What happened and what to do, for a human. Holds no secret. */
  readonly message: string;
  /** Milliseconds that the cause asked to wait. */
  readonly retryAfterMs?: number;
}

/** Longest wait that a provider may ask for: the session is held meanwhile. */
const MAX_RETRY_AFTER_MS = 3_600_000;

/** Pi's own words for an answer that stopped for want of room, far below its limit, and summing up does not help. */
const TOO_LONG = "Assistant request exceeded the context window";

/** Read the failure out of an answer that ended in an error. */
export function modelFailure(message: AssistantMessage): AgentFailure {
  const outcome = httpOutcome(message);
  const { status, retryAfterMs } = outcome;
  const provider = `the model provider ${message.provider}`;
  const unavailable = { reason: FailureReason.MODEL_UNAVAILABLE, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) };
  if (message.rawStopReason === "refusal" || message.rawStopReason === "sensitive") {
    return { reason: FailureReason.MODEL_REFUSED, retryable: false, message: `the model refused: ${wordsOf(message)}` };
  }
  if (status === 401 || status === 403) {
    // The provider's own words may quote a part of the key.
    return { ...unavailable, retryable: false, message: `${provider} refused the credentials (HTTP ${status}): check its key` };
  }
  if (isContextOverflow(message) || message.errorMessage?.startsWith(TOO_LONG)) {
    const text = `the conversation does not fit into the model's context, even compacted: start a new session (${wordsOf(message)})`;
    return { reason: FailureReason.BAD_INPUTS, retryable: false, message: text };
  }
  if (retryAfterMs !== undefined && retryAfterMs > MAX_RETRY_AFTER_MS) {
    const text = `${provider} asked to wait ${waitOf(retryAfterMs)}, more than the ${MAX_RETRY_AFTER_MS / 60_000} minutes that a leaf waits: redrive it then, or choose another model`;
    return { ...unavailable, retryable: false, message: text };
  }
  if (outcome.silentMs !== undefined) {
    return { ...unavailable, retryable: true, message: `${provider} sent nothing for ${outcome.silentMs / 1000} s` };
  }
  if (outcome.overBytes !== undefined) {
    return { ...unavailable, retryable: false, message: `${provider} sent an answer of more than ${outcome.overBytes} bytes` };
  }
  if (outcome.networkError !== undefined) {
    return { ...unavailable, retryable: true, message: `${provider} can't be reached (${outcome.networkError})` };
  }
  if (isConversationRefused(message)) {
    const text = `${provider} does not take the conversation: ${wordsOf(message)}. Start a new session, or fork this one from an earlier answer`;
    return { reason: FailureReason.BAD_INPUTS, retryable: false, message: text };
  }
  const refused = status !== undefined && status >= 400;
  // Pi reads words: it knows an account without money, but takes any 500 in a text for an outage.
  const retryable = isRetryableAssistantError(message) && (!refused || isTransient(outcome));
  return { ...unavailable, retryable, message: `${provider} ${refused ? `answered HTTP ${status}` : "broke off"}: ${wordsOf(message)}` };
}

/** A wait in words, and the time that it ends at if there is such a time. */
function waitOf(waitMs: number): string {
  const end = new Date(Date.now() + waitMs);
  const seconds = `${Math.ceil(waitMs / 1000)} s`;
  return Number.isNaN(end.getTime()) ? seconds : `${seconds} (until ${end.toISOString()})`;
}

/** Read the failure out of a request for a summary: without it the conversation can't go on. */
export function summaryFailure(message: AssistantMessage): AgentFailure {
  const failure = modelFailure(message);
  return { ...failure, message: `the conversation grew too long, and could not be summed up: ${failure.message}` };
}

/** Taking the workspace again makes it again, a new token is made for it, and a sandbox comes back: these may pass. */
const PASSING = new Set(["sandbox_unavailable", "token_expired", "unknown_workspace", "workspace_missing"]);

/** Read the failure out of an error of the sandbox that ended the run. */
export function sandboxFailure(error: HarnessError): AgentFailure {
  const gone = error.reason === "unknown_workspace" || error.reason === "workspace_missing";
  const reason = gone ? FailureReason.SANDBOX_LOST : FailureReason.SANDBOX_UNAVAILABLE;
  return { reason, retryable: PASSING.has(error.reason), message: error.message };
}

/** The error that a refused owner gets is somewhere in the chain of causes. */
export function isStaleEpoch(error: unknown): boolean {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if (cause instanceof HarnessError && cause.reason === "stale_epoch") return true;
  }
  return false;
}
