import { readdirSync, renameSync, rmdirSync } from "node:fs";
import { basename, relative } from "node:path";
import { locate } from "@serverless-harness/kit/paths/locate";
import { pathError } from "@serverless-harness/kit/paths/path-error";
import type { RemoveResponseSchema } from "@serverless-harness/proto/hands";
import { type NoChange, type Plan, StalePlan } from "../changes/changes.ts";
import { inodeOf, type Witness } from "../changes/witness.ts";
import { syncChanged } from "../fs/durable.ts";
import { removeTree } from "../fs/remove-tree.ts";
import { statNow } from "../fs/staged-file.ts";
import type { Workspace } from "../workspaces/workspaces.ts";

type Response = typeof RemoveResponseSchema;

export interface RemoveOrder {
  readonly workspace: Workspace;
  readonly path: string;
  /** Also a directory that is not empty. */
  readonly recursive: boolean;
  /** Accept that nothing is there. */
  readonly missingOk: boolean;
}

/**
 * Plan to remove a path; of a symlink, the link. It is renamed to `stagedPath` (a free one in the staging directory),
 * so that a tree is gone at once and nothing is ever half removed, and deleted there. A directory that has to be
 * empty is removed if it is, since only the kernel can tell that it is.
 */
export function planRemove(order: RemoveOrder, stagedPath: string): Plan<Response> | NoChange<Response> {
  const { workspace, path } = order;
  using resources = new DisposableStack();
  const location = resources.use(locate([workspace], path, { follow: false }));
  const { parent, entry } = location;
  if (parent === undefined) throw pathError("path_outside", path);
  if (entry === undefined) {
    if (order.missingOk) return { answer: {} };
    throw pathError("not_found", path);
  }
  const stat = entry.stat();
  const inode = inodeOf(stat);
  const inPlace = stat.isDirectory() && !order.recursive;
  if (inPlace && readdirSync(entry.path).length > 0) throw pathError("not_empty", path);
  const vacated: Witness = { kind: "vacated", path: relative(workspace.path, location.resolvedPath), inode };
  const target = parent.child(location.name);
  const owned = resources.move();
  return {
    witness: inPlace ? vacated : { kind: "staged_out", staged: basename(stagedPath) },
    draft: {},
    commit: () => {
      const now = statNow(target);
      if (now === undefined || inodeOf(now) !== inode) throw new StalePlan();
      if (inPlace) rmdirSync(target);
      else renameSync(target, stagedPath);
      return {};
    },
    settle: () => syncChanged(parent),
    cleanUp: () => removeTree(stagedPath),
    [Symbol.asyncDispose]: async () => owned.dispose(),
  };
}
