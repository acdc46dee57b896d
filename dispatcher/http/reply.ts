import { Code } from "@connectrpc/connect";
import { HarnessError, retryAfterSeconds, type Violation } from "@serverless-harness/kit/errors";
import type { Logger } from "@serverless-harness/kit/log";

/** A plain HTTP answer. */
export interface Reply {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body: Readonly<Record<string, unknown>>;
}

/** An answer that comes in pieces; its head goes out with the first. Without any it has no body. */
export interface StreamReply {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** Asked for the next one when the client has room for it. Throws where the answer has to be cut. */
  readonly pieces: AsyncIterable<string> | readonly [];
}

/** What a failed call made already; sent along, so that the client can find it again. */
export interface Made {
  readonly sessionId: string;
  readonly leafId: string;
}

const STATUS: Readonly<Partial<Record<Code, number>>> = {
  [Code.InvalidArgument]: 400,
  [Code.Unauthenticated]: 401,
  [Code.PermissionDenied]: 403,
  [Code.NotFound]: 404,
  [Code.AlreadyExists]: 409,
  [Code.FailedPrecondition]: 409,
  [Code.ResourceExhausted]: 429,
  [Code.Unavailable]: 503,
};
/** Reasons whose status says more than their code's. */
const STATUS_OF_REASON: Readonly<Record<string, number>> = { body_too_large: 413, client_gone: 400, not_acceptable: 406, saturated: 503 };

const DEFAULT_RETRY_MS = 5000;

/** The body of every error: a code for programs, a sentence that says what to do for people. */
export function errorBody(error: string, message: string): Record<string, unknown> {
  return { error, message };
}

/** `Retry-After` in whole seconds, at least 1. Default 5. */
export function retryAfter(ms: number | undefined): Record<string, string> {
  return { "retry-after": retryAfterSeconds(ms || DEFAULT_RETRY_MS) };
}

/** Translate anything thrown. What is not a {@link HarnessError} is logged, and tells the client nothing. */
export function errorReply(error: unknown, log: Logger, made?: Partial<Made>): Reply {
  if (!(error instanceof HarnessError)) {
    log.error({ err: error }, "request failed");
    return { status: 500, body: { ...errorBody("internal", "internal error; the service's log has the cause"), ...made } };
  }
  if (error.code === Code.InvalidArgument && error.violations.length > 0) return invalid(error.violations);
  const status = STATUS_OF_REASON[error.reason] ?? STATUS[error.code] ?? 500;
  return {
    status,
    headers: {
      ...(status === 401 ? { "www-authenticate": "Bearer" } : {}),
      ...(status === 503 || status === 429 ? retryAfter(error.retryAfterMs) : {}),
    },
    body: { ...errorBody(error.reason, error.message), ...made },
  };
}

/** A leaf that can't be taken, in this API's own field names. */
function invalid(violations: readonly Violation[]): Reply {
  const fields = violations.map(({ field, description }) => ({ field: httpField(field), description }));
  const message = fields.map((f) => `${f.field}: ${f.description}`).join("; ");
  return { status: 400, body: { ...errorBody("envelope_invalid", message), fields } };
}

function httpField(field: string): string {
  if (field === "idempotency_key") return "Idempotency-Key";
  return field.replace(/^spec\./, "").replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}
