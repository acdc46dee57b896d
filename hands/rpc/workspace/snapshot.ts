import { snapshotMessage, snapshotTarget, type WorkspaceDeps, type WorkspaceRpc } from "./deps.ts";

export function snapshot(deps: WorkspaceDeps): WorkspaceRpc<"snapshot"> {
  return async (request) => {
    const taken = await deps.trees.snapshot(await snapshotTarget(deps, request), request.snapshotId);
    return { snapshot: snapshotMessage(taken.snapshot), replayed: taken.replayed };
  };
}
