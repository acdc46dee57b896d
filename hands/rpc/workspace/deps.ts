import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import { Validation } from "@serverless-harness/kit/validate";
import type { LeftOutSchema, SnapshotSchema, WorkspaceSchema, WorkspaceService } from "@serverless-harness/proto/hands";
import type { LeftOuts } from "../../fs/left-out.ts";
import type { Snapshot } from "../../git/snapshot.ts";
import type { Origin, WorkspaceTrees } from "../../git/workspace-trees.ts";
import type { Workspace, WorkspaceDescription, Workspaces } from "../../workspaces/workspaces.ts";

/** What the workspace calls work with. */
export interface WorkspaceDeps {
  readonly workspaces: Workspaces;
  readonly trees: WorkspaceTrees;
}

/** The implementation of one call. */
export type WorkspaceRpc<Name extends keyof ServiceImpl<typeof WorkspaceService>> = ServiceImpl<typeof WorkspaceService>[Name];

/** A workspace as clients see it. */
export async function toMessage(deps: WorkspaceDeps, workspace: WorkspaceDescription): Promise<MessageInitShape<typeof WorkspaceSchema>> {
  const { name, path, epoch, createdAtMs } = workspace;
  const { baseCommit, restoredSnapshotId, leftOut }: Origin = await deps.trees.origin(workspace);
  return { name, path, epoch, createdAtMs: BigInt(createdAtMs), baseCommit, restoredSnapshotId, ...leftOutMessage(leftOut) };
}

/** The field for what was left out, where anything was. */
export function leftOutMessage({ named, more }: LeftOuts): { leftOut?: MessageInitShape<typeof LeftOutSchema> } {
  return named.length === 0 ? {} : { leftOut: { paths: [...named], more } };
}

/** A snapshot as clients see it. */
export function snapshotMessage({ snapshotId, tree, bytes, createdAtMs, leftOut }: Snapshot): MessageInitShape<typeof SnapshotSchema> {
  return { snapshotId, tree, bytes: BigInt(bytes), createdAtMs: BigInt(createdAtMs), ...leftOutMessage(leftOut) };
}

/** The workspace of a call about a snapshot, for its owner. INVALID_ARGUMENT, and the errors of {@link Workspaces.resolve}. */
export async function snapshotTarget(
  deps: WorkspaceDeps,
  request: { readonly workspace: string; readonly epoch: bigint; readonly snapshotId: string },
): Promise<Workspace> {
  const valid = new Validation();
  valid.owner(request);
  valid.id("snapshot_id", request.snapshotId);
  valid.done();
  return deps.workspaces.resolve(request.workspace, request.epoch);
}
