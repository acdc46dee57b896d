import type { ServiceImpl } from "@connectrpc/connect";
import type { WorkspaceService } from "@serverless-harness/proto/hands";
import { create } from "./create.ts";
import { remove } from "./delete.ts";
import type { WorkspaceDeps } from "./deps.ts";
import { diff } from "./diff.ts";
import { list } from "./list.ts";
import { restore } from "./restore.ts";
import { snapshot } from "./snapshot.ts";

/** Binds every call of WorkspaceService to its file. */
export function workspaceService(deps: WorkspaceDeps): ServiceImpl<typeof WorkspaceService> {
  return {
    create: create(deps),
    list: list(deps),
    diff: diff(deps),
    snapshot: snapshot(deps),
    restore: restore(deps),
    delete: remove(deps),
  };
}
