import { constants } from "node:os";
import { ExecutionError } from "@earendil-works/pi-agent-core";
import { EndCause, type Ended } from "@serverless-harness/proto/hands";

const LOST =
  "The sandbox died while this command ran: whether it completed, and what it changed, is unknown. It was not run again. " +
  "Look at what it did before you run it a second time.";

const SHUT_DOWN =
  "The sandbox was shut down while this command ran, which ended it before it was done. Nobody cancelled it, and it was not run again. " +
  "Look at what it did before you run it a second time.";

/** The exit code as a shell would tell it. */
export function exitCodeOf(ended: Ended): number {
  if (ended.cause === EndCause.EXITED) return ended.exitCode;
  return 128 + (constants.signals[ended.signal as NodeJS.Signals] ?? 0);
}

/** Why there is no exit code that the model could rely on; `undefined` where there is one. `timeout` in seconds, as asked for. */
export function endFailure(ended: Ended, timeout: number | undefined): ExecutionError | undefined {
  switch (ended.cause) {
    case EndCause.EXITED:
    case EndCause.SIGNALED:
      return undefined;
    case EndCause.TIMEOUT:
      if (timeout !== undefined) return new ExecutionError("timeout", `timeout:${timeout}`);
      return new ExecutionError("unknown", "The sandbox ended the command: it ran for longer than the sandbox allows.");
    case EndCause.NO_OUTPUT_TIMEOUT:
      return new ExecutionError("unknown", "The sandbox ended the command: it wrote nothing for too long.");
    case EndCause.CANCELLED:
      return new ExecutionError("unknown", "The command was cancelled.");
    case EndCause.SHUT_DOWN:
      return new ExecutionError("unknown", SHUT_DOWN);
    case EndCause.OUT_OF_MEMORY:
      return new ExecutionError("unknown", `The command ran out of memory: ${ended.message}.`);
    case EndCause.LIMIT_REACHED:
      return new ExecutionError("unknown", `The sandbox ended the command: ${ended.message}.`);
    case EndCause.START_FAILED:
      return new ExecutionError("spawn_error", ended.message || "The command could not be started.");
    default:
      return new ExecutionError("unknown", LOST);
  }
}
