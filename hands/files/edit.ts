import { readFile } from "node:fs/promises";
import { relative } from "node:path";
import { pathError } from "@serverless-harness/kit/paths/path-error";
import type { EditResponseSchema } from "@serverless-harness/proto/hands";
import type { Plan } from "../changes/changes.ts";
import { StagedFile } from "../fs/staged-file.ts";
import type { Workspace } from "../workspaces/workspaces.ts";
import { editText, type TextEdit } from "./edit-text.ts";
import type { ExistingFile } from "./existing-file.ts";
import { describeChange } from "./patch.ts";
import { fileTooLarge, planReplacement } from "./replace.ts";

export interface EditOrder {
  readonly workspace: Workspace;
  readonly path: string;
  readonly edits: readonly TextEdit[];
  readonly ifMatch: string;
  /** Bytes of the largest file, before and after. */
  readonly maxBytes: number;
}

type Response = typeof EditResponseSchema;

/** Plan to edit a UTF-8 file. `stagedPath`: a free one in the staging directory. Errors as {@link editText}, and `not_text`. */
export function planEdit(order: EditOrder, stagedPath: string): Promise<Plan<Response>> {
  const { path, workspace, maxBytes } = order;
  return planReplacement<Response>({
    workspace,
    path,
    ifMatch: order.ifMatch,
    mode: 0,
    content: async (old, resources) => {
      if (old === undefined) throw pathError("not_found", path);
      if (old.stat.size > maxBytes) throw fileTooLarge(path, maxBytes);
      const before = await readText(old, path);
      const after = editText(before, order.edits);
      if (Buffer.byteLength(after) > maxBytes) throw fileTooLarge(path, maxBytes);
      const shown = path.startsWith("/") ? relative(workspace.path, path) : path;
      const change = describeChange(shown, before, after);
      const staged = resources.use(await StagedFile.create(stagedPath));
      await staged.append(after);
      return {
        staged,
        fromOld: true,
        answer: (file, partedLinks) => ({ file, partedLinks, patch: change.patch, firstChangedLine: BigInt(change.firstChangedLine) }),
      };
    },
  });
}

/** A file's text, its byte order mark included. FAILED_PRECONDITION `not_text` if it is not UTF-8. */
async function readText(file: ExistingFile, path: string): Promise<string> {
  const bytes = await readFile(file.handle.path);
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (error) {
    throw pathError("not_text", path, { cause: error });
  }
}
