import { Code } from "@connectrpc/connect";
import { HarnessError } from "@serverless-harness/kit/errors";

/** Errors after which nobody knows whether the script ran. */
const IN_DOUBT = new Set(["store_unreachable", "store_closed"]);

/** What Redis itself refused, it did not do. */
export function hasNoEffect(error: unknown): boolean {
  if (error instanceof HarnessError) return !IN_DOUBT.has(error.reason);
  return error instanceof Error && error.name === "ReplyError";
}

/** Somebody else wrote to a session under the epoch of its owner. */
export function otherWriter(): HarnessError {
  const message = "another process wrote to the session under the same epoch: only one may have it open, close it here";
  return new HarnessError(Code.FailedPrecondition, "session_conflict", message);
}
