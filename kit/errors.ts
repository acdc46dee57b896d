import { create } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { type BadRequest_FieldViolation, BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "@serverless-harness/proto/error";

/** Domain of every `google.rpc.ErrorInfo` that the system sends. */
export const ERROR_DOMAIN = "serverless-harness";

/** One wrong field: its path, and what would be right. */
export interface Violation {
  readonly field: string;
  readonly description: string;
}

/** What a {@link HarnessError} carries beside its message. */
export interface HarnessErrorOptions {
  /** Every wrong field, for {@link Code.InvalidArgument}. */
  readonly violations?: readonly Violation[];
  /** Names and values that the reason is about, as a limit. Sent to clients: never a secret or a path of the host. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** Try again after this many milliseconds. */
  readonly retryAfterMs?: number;
  /** Kept for the log, never sent. */
  readonly cause?: unknown;
}

/**
 * An error of the domain: what handlers and the logic below them throw. Its message is for the client: it says what is
 * wrong and what to do. One interceptor translates it at the boundary.
 */
export class HarnessError extends Error {
  override readonly name = "HarnessError";
  readonly code: Code;
  /** Machine-readable, snake_case. */
  readonly reason: string;
  readonly violations: readonly Violation[];
  readonly metadata: Readonly<Record<string, string>>;
  readonly retryAfterMs: number | undefined;

  constructor(code: Code, reason: string, message: string, options: HarnessErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.reason = reason;
    this.violations = options.violations ?? [];
    this.metadata = options.metadata ?? {};
    this.retryAfterMs = options.retryAfterMs;
  }
}

/** The error for bad input: lists every wrong field in its message as well as in its details. */
export function invalidArgument(violations: readonly Violation[]): HarnessError {
  const list = violations.map((v) => `${v.field}: ${v.description}`).join("; ");
  return new HarnessError(Code.InvalidArgument, "invalid_argument", list, { violations });
}

/** Translate anything thrown into what a client gets. What is not a {@link HarnessError} or ConnectError tells it nothing. */
export function toConnectError(error: unknown): ConnectError {
  if (error instanceof ConnectError) return withErrorInfo(error);
  if (!(error instanceof HarnessError)) {
    return withErrorInfo(new ConnectError("internal error; the service's log has the cause", Code.Internal, undefined, undefined, error));
  }
  const details: ConstructorParameters<typeof ConnectError>[3] = [
    { desc: ErrorInfoSchema, value: { reason: error.reason, domain: ERROR_DOMAIN, metadata: { ...error.metadata } } },
  ];
  if (error.violations.length > 0) {
    const fieldViolations = error.violations.map((v) => ({ ...v }) as BadRequest_FieldViolation);
    details.push({ desc: BadRequestSchema, value: create(BadRequestSchema, { fieldViolations }) });
  }
  if (error.retryAfterMs !== undefined) {
    const seconds = BigInt(Math.floor(error.retryAfterMs / 1000));
    const nanos = (error.retryAfterMs % 1000) * 1e6;
    details.push({ desc: RetryInfoSchema, value: create(RetryInfoSchema, { retryDelay: { seconds, nanos } }) });
  }
  return new ConnectError(error.message, error.code, retryAfter(error), details, error);
}

/** For clients of plain HTTP, to whom a code of these is a 429 or 503. */
function retryAfter({ retryAfterMs, code }: HarnessError): Record<string, string> | undefined {
  if (retryAfterMs === undefined || (code !== Code.ResourceExhausted && code !== Code.Unavailable)) return undefined;
  return { "retry-after": retryAfterSeconds(retryAfterMs) };
}

/** A wait as the header `Retry-After` has it: in whole seconds, at least 1. */
export function retryAfterSeconds(ms: number): string {
  return String(Math.max(1, Math.ceil(ms / 1000)));
}

/** Reasons of errors that the RPC library makes by itself, as it reads a request. */
const LIBRARY_REASONS: Readonly<Partial<Record<Code, string>>> = {
  [Code.InvalidArgument]: "malformed_message",
  [Code.ResourceExhausted]: "message_too_large",
};

/** The same error, with a `google.rpc.ErrorInfo` if it had none: what the library finds, as a message that is none or is too large, carries no details. */
export function withErrorInfo(error: ConnectError): ConnectError {
  if (error.findDetails(ErrorInfoSchema).length > 0) return error;
  const reason = (error.isWireError ? undefined : LIBRARY_REASONS[error.code]) ?? codeName(error.code);
  const info = { desc: ErrorInfoSchema, value: { reason, domain: ERROR_DOMAIN } };
  const explained = new ConnectError(error.rawMessage, error.code, error.metadata, undefined, error.cause);
  explained.details = [...error.details, info];
  explained.isWireError = error.isWireError;
  return explained;
}

/** Read an error that a client got back into the domain's form. Anything but a ConnectError counts as {@link Code.Unknown}. */
export function fromConnectError(error: unknown): HarnessError {
  if (error instanceof HarnessError) return error;
  const connect = ConnectError.from(error);
  const info = connect.findDetails(ErrorInfoSchema)[0];
  const delay = connect.findDetails(RetryInfoSchema)[0]?.retryDelay;
  return new HarnessError(connect.code, info?.reason ?? codeName(connect.code), connect.rawMessage, {
    violations: connect.findDetails(BadRequestSchema).flatMap((b) => b.fieldViolations),
    metadata: info?.metadata ?? {},
    ...(delay === undefined ? {} : { retryAfterMs: Number(delay.seconds) * 1000 + delay.nanos / 1e6 }),
    cause: error,
  });
}

/** The gRPC name of a status code in snake_case, as `not_found`. */
export function codeName(code: Code): string {
  return (Code[code] ?? "Unknown").replace(/(?<=[a-z])(?=[A-Z])/g, "_").toLowerCase();
}
