import { Code } from "@connectrpc/connect";
import type { WorkspaceClient } from "@serverless-harness/hands/client";
import { HarnessError } from "@serverless-harness/kit/errors";
import type { AgentFailure } from "@serverless-harness/pi-fork";
import { FailureReason } from "@serverless-harness/proto/leaf";

/** Longest patch in bytes: with the rest of its leaf it has to fit into the 4 MiB that gRPC clients take by default. */
export const MAX_PATCH_BYTES = 1024 * 1024;

/** A session's first leaf decides what its workspace is made from: throws FAILED_PRECONDITION `no_repository` if that was none. */
export function requireRepository(baseCommit: string): void {
  if (baseCommit !== "") return;
  const message = "it was not made from a repository: use a new session, or one whose first leaf named the repository";
  throw new HarnessError(Code.FailedPrecondition, "no_repository", message);
}

/** What a solve brought. */
export interface Solution {
  readonly patch: string;
  /** The commit that the patch is against. */
  readonly baseCommit: string;
  /** What was changed and is not in the patch, a sentence each that begins with the path. */
  readonly leftOut: readonly string[];
}

/**
 * What was changed in a workspace since it was made from its repository, at `baseCommit`. What can't be delivered is returned as a failure.
 * Throws what hands throws.
 */
export async function readSolution(workspace: WorkspaceClient, baseCommit: string): Promise<Solution | AgentFailure> {
  const { patch, summary } = await workspace.diff({ maxBytes: MAX_PATCH_BYTES });
  if (summary.truncated) return tooLarge(Number(summary.bytes), summary.files);
  const leftOut = summary.leftOut?.paths.map(({ path, why }) => `${path} ${why}`) ?? [];
  // Hands brings what is not UTF-8 in git's binary form, which is ASCII.
  return { patch: new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(patch), baseCommit, leftOut };
}

function tooLarge(bytes: number, files: number): AgentFailure {
  const message = `the patch has ${bytes} bytes in ${files} files, the limit is ${MAX_PATCH_BYTES}: ask for a smaller change, and have what is built ignored by git`;
  return { reason: FailureReason.INVALID_RESULT, retryable: false, message };
}
