import { renameSync, unlinkSync } from "node:fs";
import { relative } from "node:path";
import { locate, locateExisting } from "@serverless-harness/kit/paths/locate";
import { errnoOf, pathError } from "@serverless-harness/kit/paths/path-error";
import type { MoveResponseSchema } from "@serverless-harness/proto/hands";
import { type NoChange, type Plan, StalePlan } from "../changes/changes.ts";
import { inodeOf } from "../changes/witness.ts";
import { syncChanged } from "../fs/durable.ts";
import { statNow } from "../fs/staged-file.ts";
import type { Workspace } from "../workspaces/workspaces.ts";

type Response = typeof MoveResponseSchema;

export interface MoveOrder {
  readonly workspace: Workspace;
  readonly source: string;
  readonly destination: string;
}

/** Plan to rename a path. A symlink itself is renamed; a file at the destination is replaced, a directory there is refused. */
export function planMove({ workspace, source, destination }: MoveOrder): Plan<Response> | NoChange<Response> {
  using resources = new DisposableStack();
  const from = resources.use(locateExisting([workspace], source, { follow: false }));
  const to = resources.use(locate([workspace], destination, { follow: false }));
  const { parent: fromParent } = from;
  const { parent: toParent } = to;
  if (fromParent === undefined) throw pathError("path_outside", source);
  if (toParent === undefined || to.entry?.stat().isDirectory() === true) {
    if (from.resolvedPath === to.resolvedPath) return { answer: {} };
    throw pathError("is_directory", destination);
  }
  if (to.missing.length > 1) throw pathError("not_found", destination);
  if (from.resolvedPath === to.resolvedPath) return { answer: {} };
  const stat = from.entry.stat();
  if (stat.isDirectory() && to.entry !== undefined) throw pathError("not_directory", destination);
  const inode = inodeOf(stat);
  const oldPath = fromParent.child(from.name);
  const newPath = toParent.child(to.name);
  const owned = resources.move();
  return {
    witness: { kind: "vacated", path: relative(workspace.path, from.resolvedPath), inode },
    draft: {},
    commit: () => {
      const now = statNow(oldPath);
      if (now === undefined || inodeOf(now) !== inode) throw new StalePlan();
      const replaced = statNow(newPath);
      // Two links to one file: a rename would leave both.
      if (replaced !== undefined && inodeOf(replaced) === inode) unlinkSync(oldPath);
      else rename(oldPath, newPath, source);
      return {};
    },
    settle: async () => {
      await syncChanged(toParent);
      await syncChanged(fromParent);
    },
    [Symbol.asyncDispose]: async () => owned.dispose(),
  };
}

function rename(from: string | Buffer, to: string | Buffer, source: string): void {
  try {
    renameSync(from, to);
  } catch (error) {
    if (errnoOf(error) === "EINVAL") throw pathError("inside_itself", source, { cause: error });
    throw error;
  }
}
