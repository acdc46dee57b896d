import { aboutPath } from "@serverless-harness/kit/paths/path-error";
import { RemoveResponseSchema } from "@serverless-harness/proto/hands";
import { fingerprint } from "../../files/fingerprint.ts";
import { planRemove } from "../../files/remove.ts";
import { FileValidation } from "./checks.ts";
import type { FileDeps, FileRpc } from "./deps.ts";

export function remove(deps: FileDeps): FileRpc<"remove"> {
  return async (request) => {
    const { changeId: id, epoch, path, recursive, missingOk } = request;
    const valid = new FileValidation();
    valid.change(request);
    valid.path("path", path);
    valid.done();
    const workspace = await deps.workspaces.resolve(request.workspace, epoch);
    return aboutPath(path, async () => {
      const staged = await deps.changes.stage(workspace);
      const { replayed } = await deps.changes.run({
        id,
        workspace,
        epoch,
        path,
        fingerprint: fingerprint("remove", path, recursive, missingOk),
        schema: RemoveResponseSchema,
        plan: () => planRemove({ workspace, path, recursive, missingOk }, staged),
      });
      return { replayed };
    });
  };
}
