import { CliError } from "./errors.ts";
import { ExitCode } from "./exit-codes.ts";

/** Ends a wait: by Ctrl-C, SIGTERM, or when it takes too long. */
export interface Interrupt {
  /** Its reason is the CliError to end with. */
  readonly signal: AbortSignal;
  /** Stop listening. */
  release(): void;
}

/**
 * Watch for whatever ends a wait. `timeoutSeconds`: 0 for no limit. `consequence` says what becomes of the thing waited for, and is
 * asked when it matters.
 */
export function interruptible(timeoutSeconds: number, consequence: () => string): Interrupt {
  const controller = new AbortController();
  const interrupt = (): void => controller.abort(new CliError(ExitCode.interrupted, "interrupted", `interrupted: ${consequence()}`));
  const timeout = (): void =>
    controller.abort(new CliError(ExitCode.timeout, "timeout", `not over after ${timeoutSeconds} s: ${consequence()}`));
  process.on("SIGINT", interrupt).on("SIGTERM", interrupt);
  const timer = timeoutSeconds > 0 ? setTimeout(timeout, timeoutSeconds * 1000) : undefined;
  return {
    signal: controller.signal,
    release: () => {
      process.off("SIGINT", interrupt).off("SIGTERM", interrupt);
      clearTimeout(timer);
    },
  };
}
