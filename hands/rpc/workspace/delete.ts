import { Validation } from "@serverless-harness/kit/validate";
import type { WorkspaceDeps, WorkspaceRpc } from "./deps.ts";

export function remove(deps: WorkspaceDeps): WorkspaceRpc<"delete"> {
  return async ({ workspace, epoch }) => {
    const valid = new Validation();
    valid.workspace("workspace", workspace);
    valid.check("epoch", epoch >= 0n, "must be 0 or more");
    valid.done();
    await deps.workspaces.delete(workspace, epoch);
    return {};
  };
}
