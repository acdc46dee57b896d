import type { ServiceImpl } from "@connectrpc/connect";
import type { ExecService } from "@serverless-harness/proto/hands";
import { validateSignal } from "../../exec/validate.ts";
import type { ExecDeps } from "./deps.ts";

export function signal(deps: ExecDeps): ServiceImpl<typeof ExecService>["signal"] {
  return async (request) => {
    const name = validateSignal(request);
    const { workspace, execId, epoch } = request;
    if (request.cancel) await deps.execs.cancel(workspace, execId, epoch);
    else await deps.execs.signal(workspace, execId, epoch, name);
    return {};
  };
}
