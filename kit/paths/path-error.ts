import { Code } from "@connectrpc/connect";
import { HarnessError } from "../errors.ts";

/** Everything that can be wrong with a path: the status, and what a client is told after the path. */
const PROBLEMS = {
  not_found: [Code.NotFound, "does not exist"],
  workspace_missing: [Code.NotFound, "is gone, as a command removed the workspace's own directory: create the workspace again"],
  path_outside: [Code.PermissionDenied, "leaves the workspace: use a path inside it"],
  permission_denied: [Code.PermissionDenied, "can't be accessed: its permissions or its owner's forbid it"],
  read_only: [Code.PermissionDenied, "is on a read-only file system"],
  already_exists: [Code.AlreadyExists, "exists already"],
  is_directory: [Code.FailedPrecondition, "is a directory: name a file"],
  not_directory: [Code.FailedPrecondition, "is not a directory, or leads through something that is not one"],
  not_a_file: [Code.FailedPrecondition, "is neither a regular file nor a directory (a FIFO, a socket or a device)"],
  not_empty: [Code.FailedPrecondition, "is a directory that is not empty: ask for a recursive removal if all of it may go"],
  not_text: [Code.FailedPrecondition, "is not UTF-8 text: write it as a whole instead"],
  etag_mismatch: [Code.FailedPrecondition, "is not the version that was asked for: read it again"],
  symlink_loop: [Code.FailedPrecondition, "leads through too many symbolic links"],
  inside_itself: [Code.FailedPrecondition, "can't be moved into itself"],
  other_file_system: [Code.FailedPrecondition, "is on another file system than the workspace: copy it with a command instead"],
  busy: [Code.Aborted, "keeps being changed by something else: try again"],
  name_too_long: [Code.InvalidArgument, "is too long, or a name in it is longer than 255 bytes"],
  file_too_large: [Code.ResourceExhausted, "is larger than this operation allows: use a command instead"],
  no_space: [Code.ResourceExhausted, "could not be written: the disk or its quota is full, remove something first"],
  too_many_open_files: [Code.ResourceExhausted, "could not be opened: too many files are open in the sandbox, try again"],
} as const satisfies Record<string, readonly [Code, string]>;

/** Reason of an error about a path. */
export type PathProblem = keyof typeof PROBLEMS;

const BY_ERRNO: Readonly<Record<string, PathProblem>> = {
  ENOENT: "not_found",
  EACCES: "permission_denied",
  EPERM: "permission_denied",
  EROFS: "read_only",
  EEXIST: "already_exists",
  EISDIR: "is_directory",
  ENOTDIR: "not_directory",
  ENXIO: "not_a_file",
  ENOTEMPTY: "not_empty",
  ELOOP: "symlink_loop",
  EXDEV: "other_file_system",
  EBUSY: "busy",
  ETXTBSY: "busy",
  ENAMETOOLONG: "name_too_long",
  EFBIG: "file_too_large",
  ENOSPC: "no_space",
  EDQUOT: "no_space",
  EMFILE: "too_many_open_files",
  ENFILE: "too_many_open_files",
};

/** The error that tells a client what is wrong with the path it named. */
export function pathError(
  problem: PathProblem,
  path: string,
  options: { cause?: unknown; metadata?: Record<string, string> } = {},
): HarnessError {
  const [code, message] = PROBLEMS[problem];
  return new HarnessError(code, problem, `${path === "" ? "the workspace" : path} ${message}`, options);
}

/** Code of a system call's error, as `ENOENT`; `undefined` for anything else. */
export function errnoOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}

/** What a client is told if a call about `path` threw `error`. What is neither a HarnessError nor a known system error stays as it is. */
export function translateError(error: unknown, path: string): unknown {
  if (error instanceof HarnessError) return error;
  const problem = BY_ERRNO[errnoOf(error) ?? ""];
  return problem === undefined ? error : pathError(problem, path, { cause: error });
}

/** Run `call` about the path that the client named, and {@link translateError} what it throws. */
export async function aboutPath<T>(path: string, call: () => T | Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    throw translateError(error, path);
  }
}
