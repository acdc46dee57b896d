/** Exit codes of `leaf`, for scripts. */
export const ExitCode = {
  ok: 0,
  leafFailed: 1,
  usage: 2,
  notRunning: 3,
  notFound: 4,
  unauthorised: 5,
  timeout: 6,
  refused: 7,
  defect: 70,
  interrupted: 130,
} as const;

export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode];

/** What each means, as `leaf --help` prints it. */
export const EXIT_CODE_MEANINGS: Readonly<Record<ExitCode, string>> = {
  [ExitCode.ok]: "done",
  [ExitCode.leafFailed]:
    "the leaf failed or was cancelled or aborted, an item was refused, or an audit log is broken; stderr has the reason",
  [ExitCode.usage]: "the command line, the environment or the request is wrong",
  [ExitCode.notRunning]: "nothing is running, or it can't be reached",
  [ExitCode.notFound]: "no such leaf, session, sandbox or log",
  [ExitCode.unauthorised]: "the token is missing, wrong or does not allow this",
  [ExitCode.timeout]: "it took longer than allowed",
  [ExitCode.refused]: "the present state does not allow it: port in use, no sandbox, state of another version, too much load",
  [ExitCode.defect]: "a defect of leaf or of a service",
  [ExitCode.interrupted]: "interrupted by Ctrl-C",
};

/** An error that ends the command. Its message is one line: what is wrong, why, and what to do. */
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
