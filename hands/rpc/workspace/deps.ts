import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import type { WorkspaceSchema, WorkspaceService } from "@serverless-harness/proto/hands";
import type { WorkspaceDescription, Workspaces } from "../../workspaces.ts";

/** What the workspace calls work with. */
export interface WorkspaceDeps {
  readonly workspaces: Workspaces;
}

/** The implementation of one call. */
export type WorkspaceRpc<Name extends keyof ServiceImpl<typeof WorkspaceService>> = ServiceImpl<typeof WorkspaceService>[Name];

/** A workspace as clients see it. */
export function toMessage({ name, path, epoch, createdAtMs }: WorkspaceDescription): MessageInitShape<typeof WorkspaceSchema> {
  return { name, path, epoch, createdAtMs: BigInt(createdAtMs) };
}
