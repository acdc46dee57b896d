import type { ServiceImpl } from "@connectrpc/connect";
import type { WorkspaceService } from "@serverless-harness/proto/hands";
import { create } from "./create.ts";
import { remove } from "./delete.ts";
import type { WorkspaceDeps } from "./deps.ts";
import { list } from "./list.ts";

/** Binds every call of WorkspaceService to its file. */
export function workspaceService(deps: WorkspaceDeps): ServiceImpl<typeof WorkspaceService> {
  return { create: create(deps), list: list(deps), delete: remove(deps) };
}
