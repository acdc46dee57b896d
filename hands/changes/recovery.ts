import { mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import { create, type JsonObject, toJson } from "@bufbuild/protobuf";
import { locate } from "@serverless-harness/kit/paths/locate";
import { FileInfoSchema } from "@serverless-harness/proto/hands";
import { describe } from "../fs/file-info.ts";
import { removeTree } from "../fs/remove-tree.ts";
import type { Workspace } from "../workspaces/workspaces.ts";
import type { ChangeLog, Intent } from "./log.ts";
import { inodeOf, tookPlace } from "./witness.ts";

/** Decide about every change that was under way when the daemon died: it happened, or it did not. */
export async function decideOpen(log: ChangeLog, workspace: Workspace): Promise<void> {
  for (const intent of log.open) {
    if (!tookPlace(intent.witness, workspace)) await log.withdraw(intent.id);
    else await log.record({ ...intent, result: answerNow(intent, workspace) });
  }
}

/** Empty the staging directory, or make it. Only once everything in it has been decided about. */
export async function clearStaging(workspace: Workspace): Promise<void> {
  await mkdir(workspace.stagingDirectory, { recursive: true, mode: 0o700 });
  for (const entry of await readdir(workspace.stagingDirectory)) await removeTree(join(workspace.stagingDirectory, entry));
}

/**
 * What the caller would have been told. The times of a file move with the rename itself, so they are read from the file; if it has been
 * replaced since, the draft's stay, whose ETag matches nothing.
 */
function answerNow({ draft, target }: Intent, workspace: Workspace): JsonObject {
  if (target === undefined) return draft;
  try {
    using location = locate([workspace], target.path, { follow: false });
    const stat = location.entry?.stat();
    if (stat === undefined || inodeOf(stat) !== target.inode) return draft;
    const shown = (draft["file"] as JsonObject)["path"] as string;
    return { ...draft, file: toJson(FileInfoSchema, create(FileInfoSchema, describe(stat, shown))) };
  } catch {
    return draft;
  }
}
