import { CliError, ExitCode } from "./errors.ts";

/** Ends a wait: by Ctrl-C, SIGTERM, or when it takes too long. */
export interface Interrupt {
  /** Its reason is the CliError to end with. */
  readonly signal: AbortSignal;
  /** Stop listening. */
  release(): void;
}

/**
 * Watch for whatever ends a wait. `timeoutSeconds`: 0 for no limit. `consequence` says what happens to the thing that
 * the command waits for; it is called only if the wait ends early.
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
