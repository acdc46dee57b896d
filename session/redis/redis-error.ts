import { Code } from "@connectrpc/connect";
import { HarnessError } from "@serverless-harness/kit/errors";

/** The word that a Redis error begins with, as `OOM`; empty for errors that are not the server's. */
export function replyCode(error: unknown): string {
  if (!(error instanceof Error) || error.name !== "ReplyError") return "";
  // An error that a script met has the script's name before or after it.
  return /(?:^|: |-)([A-Z][A-Z_]{2,})\b/.exec(error.message)?.[1] ?? "";
}

/** What a caller of the store can do about an error of Redis or of the connection; errors without such an answer pass as they are. */
export function translateRedisError(error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof HarnessError) return error;
  switch (replyCode(error)) {
    case "OOM":
      return unavailable(
        Code.ResourceExhausted,
        "store_full",
        "the leaf store's Redis is out of memory: raise maxmemory or free some",
        error,
        10_000,
      );
    case "MISCONF":
      return unavailable(
        Code.ResourceExhausted,
        "store_full",
        "the leaf store's Redis can't write to its disk: make room, then try again",
        error,
        10_000,
      );
    case "READONLY":
      return unavailable(
        Code.Unavailable,
        "store_read_only",
        "the leaf store's Redis is a read-only replica: its primary moved, try again",
        error,
      );
    case "LOADING":
    case "BUSY":
    case "CLUSTERDOWN":
    case "TRYAGAIN":
    case "MASTERDOWN":
    case "NOREPLICAS":
      return unavailable(Code.Unavailable, "store_busy", "the leaf store's Redis is starting, failing over or busy: try again", error);
    case "NOAUTH":
    case "WRONGPASS":
    case "NOPERM":
      return unavailable(
        Code.Unavailable,
        "store_unreachable",
        "the leaf store's Redis refuses this user: check its password and rights",
        error,
      );
    case "":
      return isReply(error) || !isConnectionError(error)
        ? error
        : unavailable(
            Code.Unavailable,
            "store_unreachable",
            "the leaf store's Redis can't be reached: what was asked may have happened; try again",
            error,
          );
    default:
      return error;
  }
}

function unavailable(code: Code, reason: string, text: string, cause: Error, retryAfterMs = 1000): HarnessError {
  return new HarnessError(code, reason, text, { retryAfterMs, cause });
}

function isReply(error: Error): boolean {
  return error.name === "ReplyError";
}

function isConnectionError(error: Error): boolean {
  if ("code" in error && typeof error.code === "string" && /^E[A-Z]+$/.test(error.code)) return true;
  if (["MaxRetriesPerRequestError", "AbortError", "ClusterAllFailedError"].includes(error.name)) return true;
  return /Connection is closed|Command timed out|isn't writeable|Connection is in closing/i.test(error.message);
}
