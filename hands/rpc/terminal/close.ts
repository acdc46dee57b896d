import type { ServiceImpl } from "@connectrpc/connect";
import type { TerminalService } from "@serverless-harness/proto/hands";
import type { TerminalDeps } from "./deps.ts";
import { validateTarget } from "./messages.ts";

export function close(deps: TerminalDeps): ServiceImpl<typeof TerminalService>["close"] {
  return async (request) => {
    validateTarget(request);
    await deps.workspaces.resolve(request.workspace, request.epoch);
    await deps.terminals.close(request.workspace, request.terminalId);
    return {};
  };
}
