import type { ServiceImpl } from "@connectrpc/connect";
import type { ExecService } from "@serverless-harness/proto/hands";
import { validateNamed } from "../../exec/validate.ts";
import type { ExecDeps } from "./deps.ts";
import { execMessage } from "./messages.ts";

export function get(deps: ExecDeps): ServiceImpl<typeof ExecService>["get"] {
  return async (request) => {
    validateNamed(request);
    return { exec: execMessage(await deps.execs.get(request.workspace, request.execId)) };
  };
}
