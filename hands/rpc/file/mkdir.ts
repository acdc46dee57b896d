import { aboutPath } from "@serverless-harness/kit/paths/path-error";
import { MkdirResponseSchema } from "@serverless-harness/proto/hands";
import { fingerprint } from "../../files/fingerprint.ts";
import { planMkdir } from "../../files/mkdir.ts";
import { FileValidation } from "./checks.ts";
import type { FileDeps, FileRpc } from "./deps.ts";

export function mkdir(deps: FileDeps): FileRpc<"mkdir"> {
  return async (request) => {
    const { changeId: id, epoch, path, recursive } = request;
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
        fingerprint: fingerprint("mkdir", path, recursive),
        schema: MkdirResponseSchema,
        plan: () => planMkdir({ workspace, path, recursive }, staged),
      });
      return { replayed };
    });
  };
}
