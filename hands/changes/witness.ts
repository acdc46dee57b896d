import { type BigIntStats, lstatSync } from "node:fs";
import { join } from "node:path";
import { locate } from "@serverless-harness/kit/paths/locate";
import { errnoOf } from "@serverless-harness/kit/paths/path-error";
import type { Workspace } from "../workspaces/workspaces.ts";

/**
 * How to tell after a crash whether an effect took place. Every change is one system call, and each leaves a trace that nobody but the
 * daemon can make or remove, since commands can't reach the staging directory.
 */
export type Witness =
  /**
   * `staged` is renamed into the workspace: it happened once the name is gone. `linked`: linked in first, so a second
   * link tells it too.
   */
  | { readonly kind: "staged_in"; readonly staged: string; readonly linked?: boolean }
  /** Something is renamed out of the workspace to `staged`: it happened once the name is there. */
  | { readonly kind: "staged_out"; readonly staged: string }
  /** `path` (below the workspace) stops being this inode, by a rename or a removal within the workspace. */
  | { readonly kind: "vacated"; readonly path: string; readonly inode: string };

/** Something that was read is a witness. */
export function isWitness(value: unknown): value is Witness {
  if (typeof value !== "object" || value === null || !("kind" in value)) return false;
  if (value.kind === "vacated")
    return "path" in value && typeof value.path === "string" && "inode" in value && typeof value.inode === "string";
  return (value.kind === "staged_in" || value.kind === "staged_out") && "staged" in value && typeof value.staged === "string";
}

/** Names an inode for good: numbers are reused, but not within the same birth. */
export function inodeOf(stat: BigIntStats): string {
  return `${stat.dev}:${stat.ino}:${stat.birthtimeNs}`;
}

/**
 * The effect took place. For `vacated`, an entry that something else moved away between the crash and now counts as moved by the change:
 * so a change never happens twice.
 */
export function tookPlace(witness: Witness, workspace: Workspace): boolean {
  if (witness.kind === "vacated") return inodeAt(witness.path, workspace) !== witness.inode;
  const stat = statIfThere(join(workspace.stagingDirectory, witness.staged));
  if (witness.kind === "staged_out") return stat !== undefined;
  return stat === undefined || (witness.linked === true && stat.nlink > 1n);
}

/** The inode at a path of the workspace that was resolved before; `undefined` if nothing is there, or it can't be reached. */
function inodeAt(path: string, workspace: Workspace): string | undefined {
  try {
    using location = locate([workspace], path, { follow: false });
    return location.entry === undefined ? undefined : inodeOf(location.entry.stat());
  } catch {
    return undefined;
  }
}

function statIfThere(path: string): BigIntStats | undefined {
  try {
    return lstatSync(path, { bigint: true });
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
}
