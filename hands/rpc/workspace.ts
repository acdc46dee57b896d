import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import { type Claims, requireWorkspace } from "@serverless-harness/kit/hands-claims";
import { Validation } from "@serverless-harness/kit/validate";
import type { CreateRequest, LeftOutSchema, SnapshotSchema, WorkspaceSchema, WorkspaceService } from "@serverless-harness/proto/hands";
import { copyTree } from "../copy/copy-tree.ts";
import type { LeftOuts } from "../fs/left-out.ts";
import type { Snapshot } from "../git/snapshot.ts";
import type { Origin, WorkspaceTrees } from "../git/workspace-trees.ts";
import type { Fill, Workspace, WorkspaceDescription, Workspaces } from "../workspaces/workspaces.ts";
import { claimsKey } from "./auth.ts";

const DEFAULT_DIFF_BYTES = 16 * 1024 * 1024;
const MAX_DIFF_BYTES = 256 * 1024 * 1024;

/** What the workspace RPCs need. */
export interface WorkspaceDeps {
  readonly workspaces: Workspaces;
  readonly trees: WorkspaceTrees;
}

/** The RPCs of `harness.hands.v1.WorkspaceService`. */
export function workspaceService(deps: WorkspaceDeps): ServiceImpl<typeof WorkspaceService> {
  const { workspaces, trees } = deps;
  return {
    async create(request, context) {
      validateCreate(request);
      const { workspace: name, epoch, source, fresh } = request;
      const claims = context.values.get(claimsKey);
      if (source.case === "copy" && claims !== undefined) requireWorkspace(claims, source.value.workspace);
      if (fresh && !workspaces.isFresh(name, epoch)) await workspaces.delete(name, epoch);
      const { workspace, existed } = await workspaces.create(name, epoch, fillOf(deps, source));
      return { workspace: await workspaceMessage(deps, workspace), existed };
    },

    async list(_request, context) {
      const claims = context.values.get(claimsKey);
      const known = workspaces.list().filter(({ name }) => covers(claims, name));
      return { workspaces: await Promise.all(known.map((workspace) => workspaceMessage(deps, workspace))) };
    },

    async *diff({ workspace: name, sinceSnapshotId, maxBytes }) {
      const valid = new Validation();
      valid.workspace("workspace", name);
      if (sinceSnapshotId !== "") valid.id("since_snapshot_id", sinceSnapshotId);
      valid.range("max_bytes", maxBytes, 0, MAX_DIFF_BYTES);
      valid.done();
      const order = { sinceSnapshotId, maxBytes: Number(maxBytes) || DEFAULT_DIFF_BYTES };
      for await (const part of trees.diff(workspaces.find(name), order)) {
        if ("patch" in part) {
          yield { patch: part.patch };
          continue;
        }
        const { bytes, leftOut, ...counted } = part.summary;
        yield { summary: { ...counted, bytes: BigInt(bytes), ...leftOutMessage(leftOut) } };
      }
    },

    async snapshot(request) {
      const target = await snapshotTarget(workspaces, request);
      const { workspace, epoch, snapshotId, onlyIfChanged } = request;
      const { snapshot, ...how } = await trees.snapshot(target, snapshotId, {
        onlyIfChanged,
        fence: () => workspaces.fence(workspace, epoch),
      });
      return { snapshot: snapshotMessage(snapshot), ...how };
    },

    async restore(request) {
      const restored = await trees.restore(await snapshotTarget(workspaces, request), request.snapshotId);
      return { snapshot: snapshotMessage(restored.snapshot), changedFiles: restored.changedFiles };
    },

    async delete(request) {
      const valid = new Validation();
      valid.owner(request);
      valid.done();
      const { workspace, epoch, forget } = request;
      if (forget) await workspaces.forget(workspace, epoch, () => trees.deleteSnapshots(workspace));
      else await workspaces.delete(workspace, epoch);
      return {};
    },
  };
}

function validateCreate(request: CreateRequest): void {
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

function tenantOf(workspace: string): string {
  return workspace.split("/", 1)[0] ?? "";
}

/** What makes the workspace's content; `undefined` for an empty one. */
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

/** The caller may know of a workspace; without tokens everybody may. */
function covers(claims: Claims | undefined, name: string): boolean {
  if (claims === undefined) return true;
  try {
    requireWorkspace(claims, name);
    return true;
  } catch {
    return false;
  }
}

/** The workspace of a call about a snapshot, for its owner. INVALID_ARGUMENT, and the errors of {@link Workspaces.resolve}. */
async function snapshotTarget(
  workspaces: Workspaces,
  request: { readonly workspace: string; readonly epoch: bigint; readonly snapshotId: string },
): Promise<Workspace> {
  const valid = new Validation();
  valid.owner(request);
  valid.id("snapshot_id", request.snapshotId);
  valid.done();
  return workspaces.resolve(request.workspace, request.epoch);
}

async function workspaceMessage(
  { trees }: WorkspaceDeps,
  workspace: WorkspaceDescription,
): Promise<MessageInitShape<typeof WorkspaceSchema>> {
  const { name, path, epoch, createdAtMs } = workspace;
  const { baseCommit, restoredSnapshotId, leftOut }: Origin = await trees.origin(workspace);
  return { name, path, epoch, createdAtMs: BigInt(createdAtMs), baseCommit, restoredSnapshotId, ...leftOutMessage(leftOut) };
}

function snapshotMessage({ snapshotId, tree, bytes, createdAtMs, leftOut }: Snapshot): MessageInitShape<typeof SnapshotSchema> {
  return { snapshotId, tree, bytes: BigInt(bytes), createdAtMs: BigInt(createdAtMs), ...leftOutMessage(leftOut) };
}

/** The field for what was left out; absent if nothing was. */
function leftOutMessage({ named, more }: LeftOuts): { leftOut?: MessageInitShape<typeof LeftOutSchema> } {
  return named.length === 0 ? {} : { leftOut: { paths: [...named], more } };
}
