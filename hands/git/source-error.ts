import { Code } from "@connectrpc/connect";
import { HarnessError } from "@serverless-harness/kit/errors";
import { GitFailure, noSpace } from "./git-failure.ts";

const ASKS_FOR_CREDENTIALS =
  /Authentication failed|could not read Username|Permission denied \(|terminal prompts disabled|HTTP 40[13]|error: 40[13]/i;
const REDIRECTED = /Maximum \(0\) redirects|HTTP 30\d|error: 30\d/i;
const DOES_NOT_EXIST = /does not exist|not found|does not appear to be a git repository|Repository .* not/i;

/**
 * What a client is told if a repository could not be fetched: UNAVAILABLE `source_unavailable`, or RESOURCE_EXHAUSTED `no_space`. Git tells
 * why in words only; they choose the hint, nothing else. Anything but a GitFailure is passed through.
 */
export function translateFetchFailure(error: unknown, url: string): unknown {
  if (error instanceof HarnessError && error.reason === "name_unknown") return sourceUnavailable(url, error.message, error);
  if (!(error instanceof GitFailure)) return error;
  const full = noSpace(error);
  if (full !== undefined) return full;
  return sourceUnavailable(url, hint(error), error);
}

/** The error for a repository that can't be fetched. */
export function sourceUnavailable(url: string, why: string, cause?: unknown): HarnessError {
  return new HarnessError(Code.Unavailable, "source_unavailable", `${url} can't be fetched: ${why}`, { cause });
}

/** The error for a repository that was fetched, but that no workspace can be made of. */
export function faultySource(problem: string, cause?: unknown): HarnessError {
  const message = `the repository can't be checked out: ${problem}; mend it, or name another ref`;
  return new HarnessError(Code.FailedPrecondition, "source_faulty", message, { cause });
}

/** What a client is told if git could not check out what it had fetched: the source is at fault. Other ends of git are passed through. */
export function translateCheckoutFailure(error: unknown): unknown {
  if (!(error instanceof GitFailure) || error.end.kind !== "exit" || noSpace(error) !== undefined) return error;
  const invalid = /invalid path '([^']*)'/.exec(error.stderr)?.[1];
  return faultySource(
    invalid === undefined
      ? "git finds its objects damaged or of a kind that is not known"
      : `it holds ${JSON.stringify(invalid)}, which git refuses`,
    error,
  );
}

/** The error for a ref that a repository does not have. */
export function unknownRef(url: string, ref: string): HarnessError {
  const message =
    ref === "" ? `${url} has no commit yet: push one, or name a ref` : `${url} has no branch, tag or commit ${ref}: name one that it has`;
  return new HarnessError(Code.NotFound, "unknown_ref", message, { metadata: { ref } });
}

function hint(failure: GitFailure): string {
  if (failure.end.kind === "timeout") return `it was not there within ${Math.round(failure.end.ms / 1000)} s, try again later`;
  if (failure.end.kind === "aborted") return "the call was ended";
  if (REDIRECTED.test(failure.stderr)) return "it redirects to another address: name that one";
  if (ASKS_FOR_CREDENTIALS.test(failure.stderr)) return "it asks for credentials, and this sandbox has none; or it does not exist";
  if (DOES_NOT_EXIST.test(failure.stderr)) return "there is no such repository";
  return "it can't be reached, try again later";
}
