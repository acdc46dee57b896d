import type { ServiceImpl } from "@connectrpc/connect";
import type { Root } from "@serverless-harness/kit/paths/locate";
import type { FileService } from "@serverless-harness/proto/hands";
import type { Changes } from "../../changes/changes.ts";
import type { FileLimits } from "../../files/limits.ts";
import type { Watches } from "../../files/watch/watches.ts";
import type { Workspace, Workspaces } from "../../workspaces/workspaces.ts";

/** What the file calls work with. */
export interface FileDeps {
  readonly workspaces: Workspaces;
  readonly changes: Changes;
  readonly watches: Watches;
  readonly limits: FileLimits;
  /** Directory with the whole outputs of a workspace's execs, which may be read as well. Absent: there is none. */
  readonly spillDirectory: ((workspace: Workspace) => string) | undefined;
}

/** The implementation of one call. */
export type FileRpc<Name extends keyof ServiceImpl<typeof FileService>> = ServiceImpl<typeof FileService>[Name];

/** Where a workspace's files may be read. NOT_FOUND `unknown_workspace`. */
export function readableRoots(deps: FileDeps, name: string): readonly [Root, ...Root[]] {
  const workspace = deps.workspaces.find(name);
  return deps.spillDirectory === undefined ? [workspace] : [workspace, { path: deps.spillDirectory(workspace) }];
}
