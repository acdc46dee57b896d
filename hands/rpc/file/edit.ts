import { aboutPath } from "@serverless-harness/kit/paths/path-error";
import { EditResponseSchema } from "@serverless-harness/proto/hands";
import { planEdit } from "../../files/edit.ts";
import { fingerprint } from "../../files/fingerprint.ts";
import { FileValidation } from "./checks.ts";
import type { FileDeps, FileRpc } from "./deps.ts";

const MAX_EDITS = 1000;

export function edit(deps: FileDeps): FileRpc<"edit"> {
  return async (request) => {
    const { changeId: id, epoch, path, edits, ifMatch } = request;
    const valid = new FileValidation();
    valid.change(request);
    valid.path("path", path);
    valid.etag("if_match", ifMatch);
    valid.check("edits", edits.length >= 1 && edits.length <= MAX_EDITS, `must be 1 to ${MAX_EDITS}`);
    for (const [index, { oldText, newText }] of edits.entries()) {
      valid.check(`edits[${index}].old_text`, oldText !== "", "must not be empty");
      valid.check(`edits[${index}].new_text`, oldText === "" || oldText !== newText, "must differ from old_text");
    }
    valid.done();
    const workspace = await deps.workspaces.resolve(request.workspace, epoch);
    return aboutPath(path, async () => {
      const staged = await deps.changes.stage(workspace);
      const { answer, replayed } = await deps.changes.run({
        id,
        workspace,
        epoch,
        path,
        fingerprint: fingerprint("edit", path, ifMatch, ...edits.map(({ oldText, newText }) => [oldText, newText])),
        schema: EditResponseSchema,
        plan: () => planEdit({ workspace, path, edits, ifMatch, maxBytes: deps.limits.editBytes }, staged),
      });
      return { ...answer, replayed };
    });
  };
}
