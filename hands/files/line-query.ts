import { type HarnessError, invalidArgument } from "@serverless-harness/kit/errors";
import type { Handle } from "@serverless-harness/kit/paths/handle";

/** What lines have to match. */
export interface LineQuery {
  readonly pattern: string;
  readonly literal: boolean;
  readonly ignoreCase: boolean;
  /** Matching lines of one file that are of interest. */
  readonly maxPerFile: number;
}

/** A file to search, held by a handle: whatever is renamed or replaced meanwhile, only this inode is read. */
export interface SearchFile {
  /** Its path as it is shown. */
  readonly shown: string;
  readonly handle: Handle;
}

export interface MatchingLine {
  /** From 1. */
  readonly number: number;
  /** Bytes of the line before its first match. */
  readonly offset: number;
}

/** The matching lines of a file, ascending. */
export interface FileMatches {
  readonly file: SearchFile;
  readonly lines: readonly MatchingLine[];
}

/** Names the matching lines of files, in the order of the files. Ends early once `signal` is aborted. */
export type MatchLines = (files: readonly SearchFile[], query: LineQuery, signal: AbortSignal) => AsyncIterable<FileMatches>;

/** The error for a pattern that can't be used. `problem` is shown to the client. */
export function badPattern(problem: string): HarnessError {
  return invalidArgument([
    { field: "pattern", description: `must be a regular expression in Rust's syntax, or be sent as literal: ${problem}` },
  ]);
}
