import { Validation } from "@serverless-harness/kit/validate";
import { checkOwner, snapshotMessage, type WorkspaceDeps, type WorkspaceRpc } from "./deps.ts";

export function snapshot(deps: WorkspaceDeps): WorkspaceRpc<"snapshot"> {
  return async (request) => {
    const valid = new Validation();
    checkOwner(valid, request);
    valid.id("snapshot_id", request.snapshotId);
    valid.done();
    const workspace = await deps.workspaces.resolve(request.workspace, request.epoch);
    const taken = await deps.trees.snapshot(workspace, request.snapshotId);
    return { snapshot: snapshotMessage(taken.snapshot), replayed: taken.replayed };
  };
}
