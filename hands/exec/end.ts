import { constants } from "node:os";
import { create } from "@bufbuild/protobuf";
import { EndCause, type Ended, EndedSchema } from "@serverless-harness/proto/hands";
import type { EndRecord } from "../journal/record.ts";
import type { ProcessEnd } from "../process/launcher.ts";

/** Why hands ended an exec. */
export interface Stop {
  /** TIMEOUT, NO_OUTPUT_TIMEOUT, CANCELLED, SHUT_DOWN or LIMIT_REACHED. */
  readonly cause: EndCause;
  /** A sentence for a human; empty if the cause says it all. */
  readonly message: string;
}

/** What an exec's end is made of, beside its output. */
type How = Pick<EndRecord, "cause" | "exitCode" | "signal" | "message">;

/** What ends by a limit. One that was refused processes ends by itself. */
const LIMIT_CAUSES = { memory: EndCause.OUT_OF_MEMORY, disk: EndCause.LIMIT_REACHED, processes: undefined } as const;

/** The cause of an end. `stop`: hands ended it. `sent`: signals that the caller sent. */
export function causeOf(end: Exclude<ProcessEnd, { kind: "unavailable" }>, stop: Stop | undefined, sent: ReadonlySet<NodeJS.Signals>): How {
  if (end.kind === "lost") return { cause: EndCause.LOST, exitCode: 0, signal: "", message: end.message };
  const signal = end.kind === "signal" ? end.signal : "";
  const exitCode = end.kind === "exit" ? end.code : signal === "" ? 0 : 128 + constants.signals[signal];
  if (stop !== undefined) return { cause: stop.cause, exitCode, signal, message: stop.message };
  if (end.kind === "start_failed")
    return { cause: EndCause.START_FAILED, exitCode: 0, signal: "", message: `it could not be started: ${end.message}` };
  const asked = end.kind === "signal" && sent.has(end.signal);
  const cause = (end.limit !== undefined && LIMIT_CAUSES[end.limit.kind]) || (asked ? EndCause.SIGNALED : EndCause.EXITED);
  return { cause, exitCode, signal, message: end.limit?.message ?? "" };
}

/** An end as clients get it. */
export function endedMessage(end: EndRecord): Ended {
  return create(EndedSchema, {
    cause: end.cause,
    exitCode: end.exitCode,
    signal: end.signal,
    totalBytes: BigInt(end.totalBytes),
    totalLines: BigInt(end.totalLines),
    spillPath: end.spillPath,
    endedAtMs: BigInt(end.endedAtMs),
    message: end.message,
  });
}
