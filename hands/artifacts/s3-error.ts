import { Code } from "@connectrpc/connect";
import { HarnessError } from "@serverless-harness/kit/errors";
import { artifactsMisconfigured, artifactsUnavailable } from "./artifact-store.ts";

/** Names of errors that say who we are, or what we may do, is wrong. */
const REFUSED = new Set([
  "AccessDenied",
  "Forbidden",
  "InvalidAccessKeyId",
  "SignatureDoesNotMatch",
  "ExpiredToken",
  "InvalidToken",
  "AuthorizationHeaderMalformed",
  "CredentialsProviderError",
]);

/** Names of errors that say that the content broke on its way. */
const BROKEN = new Set(["BadDigest", "InvalidDigest", "XAmzContentChecksumMismatch", "XAmzContentSHA256Mismatch", "IncompleteBody"]);

/** What a client is told where a call to S3 failed. Its texts may hold names of hosts and keys, so they stay in the cause. */
export function translateS3Error(error: unknown, bucket: string): unknown {
  if (error instanceof HarnessError) return error;
  const status = statusOf(error);
  const name = error instanceof Error ? error.name : "";
  if (name === "NoSuchBucket") return artifactsMisconfigured(`has no bucket ${bucket}: create it, or name another one`, error);
  if (name === "PermanentRedirect" || status === 301) {
    return artifactsMisconfigured(`keeps the bucket ${bucket} in another region: name that region`, error);
  }
  if (REFUSED.has(name) || status === 401 || status === 403) {
    return artifactsMisconfigured(
      `refuses this daemon's credentials, or there are none: let them get, put, delete and list in the bucket ${bucket}`,
      error,
    );
  }
  if (BROKEN.has(name))
    return new HarnessError(Code.DataLoss, "artifact_damaged", "the artifact was damaged on its way: try again", { cause: error });
  if (name === "EntityTooLarge") {
    return new HarnessError(Code.ResourceExhausted, "artifact_too_large", "the artifact is larger than the artifact store takes", {
      cause: error,
    });
  }
  return artifactsUnavailable(status === undefined ? "can't be reached" : `failed with status ${status}`, error);
}

/** The same call may well succeed a moment later: nobody answered, or the server failed. */
export function isPassing(error: unknown): boolean {
  const status = statusOf(error);
  if (status !== undefined) return status >= 500;
  return error instanceof Error && ("code" in error || error.name === "TimeoutError");
}

/** The HTTP status of an answer; `undefined` where none came. */
export function statusOf(error: unknown): number | undefined {
  if (!(error instanceof Error) || !("$metadata" in error)) return undefined;
  const metadata: unknown = error.$metadata;
  if (typeof metadata !== "object" || metadata === null || !("httpStatusCode" in metadata)) return undefined;
  return typeof metadata.httpStatusCode === "number" ? metadata.httpStatusCode : undefined;
}
