import { Validation } from "@serverless-harness/kit/validate";
import type { WorkspaceDeps, WorkspaceRpc } from "./deps.ts";

export function remove(deps: WorkspaceDeps): WorkspaceRpc<"delete"> {
  return async (request) => {
    const valid = new Validation();
    valid.owner(request);
    valid.done();
    const { workspace, epoch, forget } = request;
    if (forget) await deps.workspaces.forget(workspace, epoch, () => deps.trees.deleteSnapshots(workspace));
    else await deps.workspaces.delete(workspace, epoch);
    return {};
  };
}
