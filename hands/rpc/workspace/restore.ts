import { Validation } from "@serverless-harness/kit/validate";
import { checkOwner, snapshotMessage, type WorkspaceDeps, type WorkspaceRpc } from "./deps.ts";

export function restore(deps: WorkspaceDeps): WorkspaceRpc<"restore"> {
  return async (request) => {
    const valid = new Validation();
    checkOwner(valid, request);
    valid.id("snapshot_id", request.snapshotId);
    valid.done();
    const workspace = await deps.workspaces.resolve(request.workspace, request.epoch);
    const restored = await deps.trees.restore(workspace, request.snapshotId);
    return { snapshot: snapshotMessage(restored.snapshot), changedFiles: restored.changedFiles };
  };
}
