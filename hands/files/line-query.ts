import { type HarnessError, invalidArgument } from "@serverless-harness/kit/errors";
import type { Handle } from "./handle.ts";

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

/** The matching lines of a file, from 1, ascending. */
export interface FileMatches {
  readonly file: SearchFile;
  readonly lines: readonly number[];
}

/** Names the matching lines of files, in the order of the files. Ends early once `signal` is aborted. */
export type MatchLines = (files: readonly SearchFile[], query: LineQuery, signal: AbortSignal) => AsyncIterable<FileMatches>;

/** The pattern is not one. `problem` is shown to the client. */
export function badPattern(problem: string): HarnessError {
  return invalidArgument([
    { field: "pattern", description: `must be a regular expression in Rust's syntax, or be sent as literal: ${problem}` },
  ]);
}
