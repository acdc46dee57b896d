import { Validation } from "@serverless-harness/kit/validate";
import type { WorkspaceDeps, WorkspaceRpc } from "./deps.ts";

export function remove(deps: WorkspaceDeps): WorkspaceRpc<"delete"> {
  return async (request) => {
    const valid = new Validation();
    valid.owner(request);
    valid.done();
    await deps.workspaces.delete(request.workspace, request.epoch);
    return {};
  };
}
