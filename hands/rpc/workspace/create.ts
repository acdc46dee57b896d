import { requireScope } from "@serverless-harness/kit/hands-claims";
import { Validation } from "@serverless-harness/kit/validate";
import type { CreateRequest } from "@serverless-harness/proto/hands";
import { copyTree } from "../../copy/copy-tree.ts";
import type { Fill } from "../../workspaces/workspaces.ts";
import { claimsKey } from "../auth.ts";
import { toMessage, type WorkspaceDeps, type WorkspaceRpc } from "./deps.ts";

export function create(deps: WorkspaceDeps): WorkspaceRpc<"create"> {
  return async (request, context) => {
    validate(request);
    const { workspace: name, epoch, source, fresh } = request;
    const claims = context.values.get(claimsKey);
    if (source.case === "copy" && claims !== undefined) requireScope(claims, source.value.workspace);
    if (fresh && !deps.workspaces.isFresh(name, epoch)) await deps.workspaces.delete(name, epoch);
    const { workspace, existed } = await deps.workspaces.create(name, epoch, fillOf(deps, source));
    return { workspace: await toMessage(deps, workspace), existed };
  };
}

function validate(request: CreateRequest): void {
  const valid = new Validation();
  valid.owner(request);
  const { source } = request;
  if (source.case === "copy") {
    const { workspace } = source.value;
    valid.workspace("copy.workspace", workspace);
    valid.check("copy.workspace", workspace !== request.workspace, "must be another workspace");
    valid.check("copy.workspace", tenantOf(workspace) === tenantOf(request.workspace), "must be of the same tenant");
  }
  valid.done();
}

/** What makes the workspace's content. `undefined`: nothing is in it. */
function fillOf({ workspaces, trees }: WorkspaceDeps, source: CreateRequest["source"]): Fill | undefined {
  if (source.case === "git") {
    const { url, ref } = source.value;
    return async (directory, workspace) => void (await trees.checkOut(workspace, directory, { url, ref }));
  }
  if (source.case === "copy") {
    const original = workspaces.find(source.value.workspace);
    return async (directory, workspace) => {
      const leftOut = await copyTree({ source: original.path, target: directory, path: workspace.path });
      await trees.begin(workspace, directory, { original, leftOut });
    };
  }
  return undefined;
}

function tenantOf(workspace: string): string {
  return workspace.split("/", 1)[0] ?? "";
}
