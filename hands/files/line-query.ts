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

/** The matching lines of a file, from 1, ascending. */
export interface FileMatches {
  readonly file: string;
  readonly lines: readonly number[];
}

/** Names the matching lines of files (paths below `directory`), in the order of the files. Ends early once `signal` is aborted. */
export type MatchLines = (directory: Handle, files: readonly string[], query: LineQuery, signal: AbortSignal) => AsyncIterable<FileMatches>;

/** The pattern is not one. `problem` is shown to the client. */
export function badPattern(problem: string): HarnessError {
  return invalidArgument([
    { field: "pattern", description: `must be a regular expression in Rust's syntax, or be sent as literal: ${problem}` },
  ]);
}
