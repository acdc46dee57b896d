import { Code } from "@connectrpc/connect";
import { ExecutionError, FileError, type FileErrorCode } from "@earendil-works/pi-agent-core";
import { HarnessError } from "@serverless-harness/kit/errors";

const FILE_CODES: Readonly<Record<string, FileErrorCode>> = {
  is_directory: "is_directory",
  not_directory: "not_directory",
  not_a_file: "invalid",
  etag_mismatch: "invalid",
  path_outside: "permission_denied",
};

const FILE_CODES_BY_STATUS: ReadonlyMap<Code, FileErrorCode> = new Map([
  [Code.NotFound, "not_found"],
  [Code.PermissionDenied, "permission_denied"],
  [Code.InvalidArgument, "invalid"],
  [Code.Unimplemented, "not_supported"],
  [Code.Canceled, "aborted"],
]);

/** Reasons that say nothing about one call: whoever owns this environment has to stop. */
const FATAL = new Set([
  "sandbox_unavailable",
  "stale_epoch",
  "unknown_workspace",
  "workspace_missing",
  "unauthenticated",
  "token_expired",
  "out_of_scope",
]);

/** The sandbox is out of reach, refuses this client or has another owner: no result of the call may be told to the model. */
export function isFatal(error: unknown): error is HarnessError {
  return error instanceof HarnessError && FATAL.has(error.reason);
}

/** What Pi's tools understand: one of its file error codes, with the path as the caller addressed it. */
export function toFileError(error: unknown, path: string): FileError {
  if (error instanceof FileError) return error;
  const cause = error instanceof Error ? error : new Error(String(error));
  if (!(error instanceof HarnessError)) return new FileError("unknown", cause.message, path, cause);
  const code = FILE_CODES[error.reason] ?? FILE_CODES_BY_STATUS.get(error.code) ?? "unknown";
  return new FileError(code, error.message, path, cause);
}

/** What Pi's bash tool understands. */
export function toExecutionError(error: unknown): ExecutionError {
  if (error instanceof ExecutionError) return error;
  const cause = error instanceof Error ? error : new Error(String(error));
  const aborted = error instanceof HarnessError && error.code === Code.Canceled;
  return new ExecutionError(aborted ? "aborted" : "unknown", cause.message, cause);
}
