import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";
import { type Logger, pino } from "pino";
import { isClientFault } from "./client-fault.ts";
import { codeName, toConnectError } from "./errors.ts";
import { LogDestination } from "./log-destination.ts";

export type { Logger };

/** Header by which a caller can hand down its trace; also how it comes back. W3C Trace Context. */
const TRACEPARENT = "traceparent";

/** Fields whose values never reach a log. */
const SECRETS = ["token", "authorization", "apiKey", "key", "password", "*.token", "*.authorization", "*.apiKey", "*.password"];

/**
 * A service's logger: JSON lines on stdout (file descriptor 1), each with the service's name. A line is out of the process when the call
 * returns: those in front of a kill are the ones that are wanted. It never throws.
 */
export function createLogger(service: string, level: string): Logger {
  return pino({ name: service, level, redact: { paths: SECRETS, censor: "[redacted]" } }, new LogDestination(1));
}

/**
 * Log every call with its method, code and duration, and translate what handlers throw. The cause of an internal error is
 * logged here and nowhere else.
 */
export function boundary(log: Logger): Interceptor {
  return (next) => async (request) => {
    const started = performance.now();
    const trace = request.header.get(TRACEPARENT) ?? undefined;
    const fields = { rpc: `${request.service.typeName}/${request.method.name}`, ...(trace === undefined ? {} : { trace }) };
    const finish = (error?: unknown): ConnectError | undefined => {
      const ms = Math.round((performance.now() - started) * 100) / 100;
      if (error === undefined) {
        log.debug({ ...fields, code: "ok", ms }, "call");
        return undefined;
      }
      const translated = error instanceof ConnectError ? error : toConnectError(error);
      const code = codeName(translated.code);
      if ((translated.code === Code.Internal || translated.code === Code.Unknown) && !isClientFault(error))
        log.error({ ...fields, code, ms, err: error }, "call failed");
      else log.info({ ...fields, code, ms, reason: translated.rawMessage }, "call refused");
      return translated;
    };
    try {
      const response = await next(request);
      if (!response.stream) {
        finish();
        return response;
      }
      return { ...response, message: watched(response.message, finish) };
    } catch (error) {
      throw finish(error);
    }
  };
}

/** Pass a stream on, and tell `finish` how it ended. */
async function* watched<T>(stream: AsyncIterable<T>, finish: (error?: unknown) => ConnectError | undefined): AsyncGenerator<T> {
  try {
    yield* stream;
  } catch (error) {
    throw finish(error);
  }
  finish();
}
