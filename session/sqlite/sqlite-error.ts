import { Code } from "@connectrpc/connect";
import { ConfigError } from "@serverless-harness/kit/env";
import { HarnessError } from "@serverless-harness/kit/errors";

/** Primary result codes, https://www.sqlite.org/rescode.html */
const BUSY = 5;
const READONLY = 8;
const CORRUPT = 11;
const FULL = 13;
const CANTOPEN = 14;
const NOTADB = 26;

/** SQLite's primary result code of an error that `node:sqlite` threw; `undefined` for any other error. */
function resultCode(error: unknown): number | undefined {
  if (!(error instanceof Error) || !("errcode" in error) || typeof error.errcode !== "number") return undefined;
  return error.errcode & 0xff;
}

/** Another connection held the lock for longer than the busy timeout, or in a place where SQLite does not wait. */
export function isBusy(error: unknown): boolean {
  return resultCode(error) === BUSY;
}

/** What a caller of the store can do about an error of the database; errors without such an answer pass as they are. */
export function translateSqliteError(error: unknown): unknown {
  switch (resultCode(error)) {
    case BUSY:
      return new HarnessError(Code.Unavailable, "store_busy", "the leaf store's database is locked by another process: try again", {
        retryAfterMs: 1000,
        cause: error,
      });
    case FULL:
      return new HarnessError(Code.ResourceExhausted, "store_full", "the leaf store's disk is full: make room, then try again", {
        retryAfterMs: 10_000,
        cause: error,
      });
    default:
      return error;
  }
}

/** What an operator can do about a database that can't be opened; errors without such an answer pass as they are. */
export function translateOpenError(path: string, error: unknown): unknown {
  const advice = openAdvice(resultCode(error));
  return advice === undefined ? error : new ConfigError(`the leaf store ${path} ${advice}`);
}

function openAdvice(code: number | undefined): string | undefined {
  switch (code) {
    case BUSY:
      return "is locked by another process that does not let go: stop that process, then try again";
    case READONLY:
      return "can't be written: give this user write permission to the file and to its directory";
    case CANTOPEN:
      return "can't be opened: its directory must exist, and this user must be able to write there";
    case CORRUPT:
      return "is damaged: restore the file from a backup, or move it and its -id file away to start with an empty store";
    case NOTADB:
      return "is not a SQLite database: name another file, or move it and its -id file away to start with an empty store";
    default:
      return undefined;
  }
}
