import { Validation } from "@serverless-harness/kit/validate";
import { toMessage, type WorkspaceDeps, type WorkspaceRpc } from "./deps.ts";

export function create(deps: WorkspaceDeps): WorkspaceRpc<"create"> {
  return async ({ workspace: name, epoch }) => {
    const valid = new Validation();
    valid.workspace("workspace", name);
    valid.check("epoch", epoch >= 0n, "must be 0 or more");
    valid.done();
    const { workspace, existed } = await deps.workspaces.create(name, epoch);
    return { workspace: toMessage(workspace), existed };
  };
}
