import type { CreateOptions, WorkspaceClient } from "@serverless-harness/hands/client";
import { HarnessError } from "@serverless-harness/kit/errors";
import type { ForkSource } from "@serverless-harness/pi-fork";
import type { Workspace } from "@serverless-harness/proto/hands";
import { type Claim, sessionKey } from "@serverless-harness/session";

/** The workspaces that a leaf's own may be made from. */
export function copiedWorkspaces({ leaf, fence: { tenant } }: Claim): string[] {
  const { fork } = leaf.spec ?? {};
  return fork === undefined ? [] : [sessionKey({ tenant, sessionId: fork.sessionId })];
}

/** Where a leaf's conversation begins; `lifecycle`: its workspace. */
export function forkSource({ leaf, fence: { tenant } }: Claim, lifecycle: Pick<ForkSource, "copied" | "lacks">): ForkSource | undefined {
  const { fork } = leaf.spec ?? {};
  return fork && { from: { tenant, sessionId: fork.sessionId }, entryId: fork.entryId, copied: lifecycle.copied, lacks: lifecycle.lacks };
}

/**
 * Make a workspace, or take it over. A copy is of the other workspace as it is now; if that is not there, since its session never worked or its sandbox
 * was lost, the new one is empty. (A snapshot of the point that was forked would be restored here.)
 */
export async function makeWorkspace(workspace: WorkspaceClient, options: CreateOptions): Promise<{ made: Workspace; copied: boolean }> {
  try {
    return { made: await workspace.create(options), copied: options.source?.kind === "copy" };
  } catch (error) {
    const gone = error instanceof HarnessError && error.reason === "unknown_workspace" && options.source?.kind === "copy";
    if (!gone) throw error;
    return { made: await workspace.create({}), copied: false };
  }
}
