import { Validation } from "@serverless-harness/kit/validate";
import { checkOwner, type WorkspaceDeps, type WorkspaceRpc } from "./deps.ts";

export function remove(deps: WorkspaceDeps): WorkspaceRpc<"delete"> {
  return async (request) => {
    const valid = new Validation();
    checkOwner(valid, request);
    valid.done();
    await deps.workspaces.delete(request.workspace, request.epoch);
    return {};
  };
}
