import { Code } from "@connectrpc/connect";
import { HarnessError } from "@serverless-harness/kit/errors";

/** How a git process ended that did not end well. */
export type GitEnd =
  | { readonly kind: "exit"; readonly code: number }
  | { readonly kind: "signal"; readonly signal: string }
  | { readonly kind: "timeout"; readonly ms: number }
  | { readonly kind: "output"; readonly bytes: number }
  | { readonly kind: "aborted" };

/** A git process that failed. For the log: its text may hold paths of the host, so no client gets it. */
export class GitFailure extends Error {
  override readonly name = "GitFailure";
  /** The subcommand, as `fetch`. */
  readonly command: string;
  readonly end: GitEnd;
  /** The end of what it wrote to stderr. */
  readonly stderr: string;

  constructor(command: string, end: GitEnd, stderr: string, cause?: unknown) {
    super(`git ${command} failed (${describe(end)}): ${stderr.trim()}`, cause === undefined ? undefined : { cause });
    this.command = command;
    this.end = end;
    this.stderr = stderr;
  }
}

const NO_SPACE = /No space left on device|Disk quota exceeded/;

/** What git says of a repository whose own files are broken, as opposed to one that can't be reached. */
const DAMAGED =
  /not a git repository|bad object|corrupt|missing (?:blob|tree|commit|object)|invalid sha1 pointer|packfile .* cannot be accessed|index file .* is too small|inflate: data stream error|does not point to a valid object|unable to read (?:sha1 file|tree|\b[0-9a-f]{40}\b)/i;

/** The repository that git worked in is damaged, as far as git's text tells. */
export function tellsDamage(failure: GitFailure): boolean {
  return failure.end.kind === "exit" && DAMAGED.test(failure.stderr);
}

/**
 * What a client is told if git failed at `doing` (as in "git could not ..."): RESOURCE_EXHAUSTED `no_space`, DEADLINE_EXCEEDED
 * `git_timeout`, CANCELLED `git_aborted`, else INTERNAL `git_failed`. Anything but a {@link GitFailure} is passed through.
 */
export function translateGitFailure(error: unknown, doing: string): unknown {
  if (!(error instanceof GitFailure)) return error;
  const wrap = (code: Code, reason: string, message: string): HarnessError => new HarnessError(code, reason, message, { cause: error });
  if (error.end.kind === "timeout") {
    return wrap(Code.DeadlineExceeded, "git_timeout", `git could not ${doing} within ${Math.round(error.end.ms / 1000)} s: try again`);
  }
  if (error.end.kind === "aborted") return wrap(Code.Canceled, "git_aborted", `git was stopped before it could ${doing}`);
  if (NO_SPACE.test(error.stderr)) return noSpace(error);
  return wrap(Code.Internal, "git_failed", `git could not ${doing}; the service's log has the cause`);
}

/** The error for a full disk; `undefined` if git's failure is another one. */
export function noSpace(error: unknown): HarnessError | undefined {
  if (!(error instanceof GitFailure) || !NO_SPACE.test(error.stderr)) return undefined;
  return new HarnessError(Code.ResourceExhausted, "no_space", "the sandbox's disk is full: remove something first", { cause: error });
}

function describe(end: GitEnd): string {
  switch (end.kind) {
    case "exit":
      return `exit code ${end.code}`;
    case "signal":
      return end.signal;
    case "timeout":
      return `stopped after ${end.ms} ms`;
    case "output":
      return `stopped after ${end.bytes} bytes of output`;
    case "aborted":
      return "stopped on request";
  }
}
