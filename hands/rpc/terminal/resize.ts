import type { ServiceImpl } from "@connectrpc/connect";
import { Validation } from "@serverless-harness/kit/validate";
import type { TerminalService } from "@serverless-harness/proto/hands";
import type { TerminalDeps } from "./deps.ts";
import { checkSize, checkTarget } from "./messages.ts";

export function resize(deps: TerminalDeps): ServiceImpl<typeof TerminalService>["resize"] {
  return async (request) => {
    const size = request.size ?? { columns: 0, rows: 0 };
    const validation = new Validation();
    checkTarget(validation, request);
    checkSize(validation, "size.", size);
    validation.done();
    await deps.workspaces.resolve(request.workspace, request.epoch);
    deps.terminals.find(request.workspace, request.terminalId).resize(size.columns, size.rows);
    return {};
  };
}
