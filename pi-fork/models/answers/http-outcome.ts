import { type AssistantMessage, isContextOverflow, isRetryableAssistantError, type Provider } from "@earendil-works/pi-ai";
import { type AnswerBounds, bounded, fetchWithin } from "./answer-stream.ts";
import { changedAtEnd } from "./whole-answer.ts";

const TYPE = "http_outcome";

/** How the HTTP request of a failed answer ended: providers tell it in words only, and a status is not to be guessed from words. */
export interface HttpOutcome {
  /** Status of the response; absent if there was none. */
  readonly status?: number;
  /** Milliseconds that the response asked to wait. */
  readonly retryAfterMs?: number;
  /** The system's error if there was no response, as `ECONNREFUSED`. */
  readonly networkError?: string;
  /** Nothing came for that long, in milliseconds, so that it was broken off. */
  readonly silentMs?: number;
  /** It was broken off since it was larger than this, in bytes. */
  readonly overBytes?: number;
}

/** APIs whose adapters refuse a fetch of ours. */
const WITHOUT_FETCH = new Set(["google-generative-ai", "google-vertex", "bedrock-converse-stream"]);

/**
 * The provider, with the HTTP outcome noted in the diagnostics of every answer that failed: there it is committed with the answer, so a
 * brain that resumes classifies it as the first one did. An answer that is silent for `silenceMs` milliseconds or endless is broken off.
 */
export function withHttpOutcome(provider: Provider, silenceMs: number): Provider {
  return {
    ...provider,
    streamSimple(model, context, options) {
      if (WITHOUT_FETCH.has(model.api)) return provider.streamSimple(model, context, options);
      let outcome: HttpOutcome = {};
      const fetch: typeof globalThis.fetch = async (input, init) => {
        outcome = {};
        const bounds: AnswerBounds = { silenceMs, onBroken: (why) => Object.assign(outcome, why) };
        try {
          const response = await fetchWithin(options?.fetch ?? globalThis.fetch, bounds, input, init);
          outcome = outcomeOf(response);
          return bounded(response, bounds);
        } catch (error) {
          if (outcome.silentMs === undefined) outcome = { networkError: networkError(error) };
          throw error;
        }
      };
      return changedAtEnd(provider.streamSimple(model, context, { ...options, fetch }), (answer) => annotated(answer, outcome));
    },
  };
}

/** What {@link withHttpOutcome} noted about an answer. */
export function httpOutcome(message: AssistantMessage): HttpOutcome {
  return (message.diagnostics?.find((diagnostic) => diagnostic.type === TYPE)?.details ?? {}) as HttpOutcome;
}

/** The failure may pass: no response, a busy or broken server. */
export function isTransient({ status, networkError, silentMs, overBytes }: HttpOutcome): boolean {
  if (overBytes !== undefined) return false;
  if (networkError !== undefined || silentMs !== undefined) return true;
  return status !== undefined && (status === 408 || status === 409 || status === 425 || status === 429 || status >= 500);
}

function annotated(message: AssistantMessage, outcome: HttpOutcome): AssistantMessage {
  if (message.stopReason !== "error" && message.stopReason !== "aborted") return message;
  const diagnostic = { type: TYPE, timestamp: Date.now(), details: { ...outcome } };
  const failed = { ...message, diagnostics: [...(message.diagnostics ?? []), diagnostic] };
  if (failed.stopReason !== "error" || isRetryableAssistantError(failed)) return failed;
  if (!isTransient(outcome) && !isGarbled(failed, outcome)) return failed;
  if (isAccountLimit(failed)) return failed;
  // Pi decides by these words whether it may ask again.
  return { ...failed, errorMessage: `${failed.errorMessage ?? "no answer"} (service unavailable)` };
}

/** The provider took the request, and what came then was no answer: a page of some proxy, or events that can't be read. */
function isGarbled(message: AssistantMessage, { status, overBytes }: HttpOutcome): boolean {
  if (status !== 200 || overBytes !== undefined) return false;
  return message.rawStopReason === undefined && !isContextOverflow(message);
}

/** Pi refuses to retry it whatever else it says: the account is out of quota or money. */
function isAccountLimit(message: AssistantMessage): boolean {
  return !isRetryableAssistantError({ ...message, errorMessage: `${message.errorMessage} 503` });
}

function outcomeOf(response: Response): HttpOutcome {
  if (response.ok) return { status: response.status };
  const retryAfterMs = retryAfter(response.headers);
  return { status: response.status, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) };
}

function retryAfter(headers: Headers): number | undefined {
  const milliseconds = Number.parseFloat(headers.get("retry-after-ms") ?? "");
  if (milliseconds >= 0) return bound(milliseconds);
  const value = headers.get("retry-after");
  if (value === null) return undefined;
  const seconds = Number(value);
  const wait = Number.isNaN(seconds) ? Date.parse(value) - Date.now() : seconds * 1000;
  return wait >= 0 ? bound(wait) : undefined;
}

/** A record has a field of 64 bits for it. */
function bound(waitMs: number): number {
  return Math.min(waitMs, Number.MAX_SAFE_INTEGER);
}

function networkError(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  if (cause instanceof Error && "code" in cause && typeof cause.code === "string") return cause.code;
  return error instanceof Error ? error.name : "unknown";
}
