import { Code } from "@connectrpc/connect";
import { fromConnectError, type HarnessError } from "@serverless-harness/kit/errors";
import { CliError } from "./errors.ts";
import { ExitCode } from "./exit-codes.ts";

const EXIT_CODES: Readonly<Partial<Record<Code, ExitCode>>> = {
  [Code.InvalidArgument]: ExitCode.usage,
  [Code.OutOfRange]: ExitCode.usage,
  [Code.Unimplemented]: ExitCode.usage,
  [Code.Unauthenticated]: ExitCode.unauthorised,
  [Code.PermissionDenied]: ExitCode.unauthorised,
  [Code.NotFound]: ExitCode.notFound,
  [Code.DeadlineExceeded]: ExitCode.timeout,
  [Code.Unavailable]: ExitCode.notRunning,
  [Code.AlreadyExists]: ExitCode.refused,
  [Code.FailedPrecondition]: ExitCode.refused,
  [Code.ResourceExhausted]: ExitCode.refused,
  [Code.Aborted]: ExitCode.refused,
};

/** What a call threw, as the error that ends the command. What is not understood is a defect, told without its stack. */
export function callError(error: unknown): CliError {
  if (error instanceof CliError) return error;
  const known = fromConnectError(error);
  const exitCode = EXIT_CODES[known.code];
  if (exitCode !== undefined) return new CliError(exitCode, known.reason, oneLine(known, exitCode), error);
  const message = error instanceof Error ? error.message : String(error);
  return new CliError(ExitCode.defect, "defect", `${firstLine(message)}: see \`leaf logs\`, this is a defect`, error);
}

/** The service's own words, with what to do where the words alone don't say. */
function oneLine(error: HarnessError, exitCode: ExitCode): string {
  const message = firstLine(error.message);
  switch (exitCode) {
    case ExitCode.unauthorised:
      return `the dispatcher refused the token: ${message}; set LEAF_TOKEN to its token (the state directory's goes to its own stack only)`;
    case ExitCode.notRunning:
      // One that answers has a reason of its own, and is there.
      if (error.reason !== "unavailable") return `the dispatcher can't do this now: ${message}`;
      return `can't reach the dispatcher: ${message}; see \`leaf status\`, start it with \`leaf up\``;
    default:
      return message;
  }
}

function firstLine(text: string): string {
  return text.split("\n", 1)[0] ?? "";
}
