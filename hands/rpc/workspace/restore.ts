import { snapshotMessage, snapshotTarget, type WorkspaceDeps, type WorkspaceRpc } from "./deps.ts";

export function restore(deps: WorkspaceDeps): WorkspaceRpc<"restore"> {
  return async (request) => {
    const restored = await deps.trees.restore(await snapshotTarget(deps, request), request.snapshotId);
    return { snapshot: snapshotMessage(restored.snapshot), changedFiles: restored.changedFiles };
  };
}
