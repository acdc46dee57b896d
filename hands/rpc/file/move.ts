import { aboutPath } from "@serverless-harness/kit/paths/path-error";
import { MoveResponseSchema } from "@serverless-harness/proto/hands";
import { fingerprint } from "../../files/fingerprint.ts";
import { planMove } from "../../files/move.ts";
import { FileValidation } from "./checks.ts";
import type { FileDeps, FileRpc } from "./deps.ts";

export function move(deps: FileDeps): FileRpc<"move"> {
  return async (request) => {
    const { changeId: id, epoch, source, destination } = request;
    const valid = new FileValidation();
    valid.change(request);
    valid.path("source", source);
    valid.path("destination", destination);
    valid.done();
    const workspace = await deps.workspaces.resolve(request.workspace, epoch);
    return aboutPath(`${source} to ${destination}`, async () => {
      const { replayed } = await deps.changes.run({
        id,
        workspace,
        epoch,
        path: source,
        fingerprint: fingerprint("move", source, destination),
        schema: MoveResponseSchema,
        plan: () => planMove({ workspace, source, destination }),
      });
      return { replayed };
    });
  };
}
