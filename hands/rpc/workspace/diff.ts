import { Validation } from "@serverless-harness/kit/validate";
import { leftOutMessage, type WorkspaceDeps, type WorkspaceRpc } from "./deps.ts";

const DEFAULT_MAX_BYTES = 16 * 1024 * 1024;
const LARGEST_MAX_BYTES = 256 * 1024 * 1024;

export function diff(deps: WorkspaceDeps): WorkspaceRpc<"diff"> {
  return async function* ({ workspace: name, sinceSnapshotId, maxBytes }) {
    const valid = new Validation();
    valid.workspace("workspace", name);
    if (sinceSnapshotId !== "") valid.id("since_snapshot_id", sinceSnapshotId);
    valid.range("max_bytes", maxBytes, 0, LARGEST_MAX_BYTES);
    valid.done();
    const order = { sinceSnapshotId, maxBytes: Number(maxBytes) || DEFAULT_MAX_BYTES };
    for await (const part of deps.trees.diff(deps.workspaces.find(name), order)) {
      if ("patch" in part) {
        yield { patch: part.patch };
        continue;
      }
      const { bytes, leftOut, ...counted } = part.summary;
      yield { summary: { ...counted, bytes: BigInt(bytes), ...leftOutMessage(leftOut) } };
    }
  };
}
