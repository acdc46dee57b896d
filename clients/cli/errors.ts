import type { ExitCode } from "./exit-codes.ts";

/** An error that ends the command: its message is one line that tells what is wrong, why, and what to do. */
export class CliError extends Error {
  override readonly name = "CliError";
  readonly exitCode: ExitCode;
  /** Machine-readable, snake_case. */
  readonly reason: string;

  constructor(exitCode: ExitCode, reason: string, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.exitCode = exitCode;
    this.reason = reason;
  }
}
