import { setTimeout as sleep } from "node:timers/promises";
import { Code } from "@connectrpc/connect";
import { fullJitter } from "@serverless-harness/kit/backoff";
import { codeName, fromConnectError, HarnessError } from "@serverless-harness/kit/errors";

/** Makes a call, and makes it again while hands can't be reached. Only for calls that may safely arrive twice. */
export type Retry = <T>(call: () => Promise<T>) => Promise<T>;

/** How patient a {@link Retry} is. */
export interface RetryOptions {
  /** Give up after this many milliseconds without an answer from hands. */
  readonly patienceMs: number;
  /** Hands refused the token as expired at this time of its clock, milliseconds since the Unix epoch. True: there is a better one now. */
  readonly onTokenExpired?: ((nowMs: number) => boolean) | undefined;
  /** No call is made any more once this is aborted. */
  readonly signal?: AbortSignal;
}

/** Waits between two attempts grow from the first to the second, in milliseconds. */
const FIRST_WAIT_MS = 20;
const LONGEST_WAIT_MS = 1000;

/** How a connection that is refused, or breaks under a call, shows itself. */
const UNREACHABLE: ReadonlySet<Code> = new Set([Code.Unavailable, Code.Aborted, Code.Canceled, Code.Unknown]);

/**
 * UNAVAILABLE is also what was waited for long enough, and a repository or an artifact store that hands can't reach:
 * not hands' own connection.
 */
const OF_OTHERS: ReadonlySet<string> = new Set(["sandbox_unavailable", "source_unavailable", "artifacts_unavailable"]);

/** Retry idempotent calls with back-off for `patienceMs`, then throw UNAVAILABLE `sandbox_unavailable`. Throws HarnessErrors only. */
export function createRetry(options: RetryOptions): Retry {
  return async (call) => {
    const deadline = performance.now() + options.patienceMs;
    let isRenewed = false;
    for (let attempt = 1; ; attempt++) {
      try {
        return await call();
      } catch (thrown) {
        const error = fromConnectError(thrown);
        if (options.signal?.aborted === true) throw clientClosed();
        if (!isRenewed && error.reason === "token_expired" && options.onTokenExpired?.(Number(error.metadata["now_ms"])) === true) {
          isRenewed = true;
          continue;
        }
        if (!isConnectionError(error)) throw error;
        const wait = backoffMs(attempt);
        if (performance.now() + wait >= deadline) throw sandboxUnavailable(options.patienceMs, error);
        await sleep(wait, undefined, options.signal === undefined ? {} : { signal: options.signal }).catch(() => undefined);
      }
    }
  };
}

/**
 * The error means that hands was not reached, that the connection broke under the call, or that hands is stopping: the call may be made
 * again. What hands answers itself names a reason, or says that its own log knows more; the rest is the transport's.
 */
export function isConnectionError(error: HarnessError): boolean {
  if (error.code === Code.Unavailable) return !OF_OTHERS.has(error.reason);
  if (error.reason !== codeName(error.code)) return false;
  if (error.message.startsWith("protocol error:")) return true;
  if (error.code === Code.Internal) return !error.message.startsWith("internal error;");
  return UNREACHABLE.has(error.code);
}

/** Another stream may do better: the connection broke, or a token expired that served until now. `heard`: the stream was answered. */
export function mayComeBack(error: HarnessError, heard: boolean): boolean {
  return isConnectionError(error) || (heard && error.code === Code.Unauthenticated);
}

/** Milliseconds to wait before attempt `attempt + 1`. */
export function backoffMs(attempt: number): number {
  return FIRST_WAIT_MS + fullJitter(attempt, FIRST_WAIT_MS, LONGEST_WAIT_MS);
}

/** Hands stayed unreachable for as long as the client was told to wait. */
export function sandboxUnavailable(patienceMs: number, cause: unknown): HarnessError {
  return new HarnessError(
    Code.Unavailable,
    "sandbox_unavailable",
    `the sandbox could not be reached for ${patienceMs} ms: check that hands runs and that its address is right`,
    { cause },
  );
}

/** This client was closed by its owner. */
export function clientClosed(): HarnessError {
  return new HarnessError(Code.Canceled, "detached", "this client was closed: the exec, if any, goes on in the sandbox");
}

/** A field that hands always sets. */
export function present<T>(value: T | undefined, field: string): T {
  if (value !== undefined) return value;
  throw new HarnessError(Code.Internal, "bad_answer", `hands answered without ${field}: client and daemon are of different versions`);
}
