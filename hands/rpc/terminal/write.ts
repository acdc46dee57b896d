import type { ServiceImpl } from "@connectrpc/connect";
import { Validation } from "@serverless-harness/kit/validate";
import type { TerminalService } from "@serverless-harness/proto/hands";
import type { TerminalDeps } from "./deps.ts";
import { checkInput, checkTarget } from "./messages.ts";

export function write(deps: TerminalDeps): ServiceImpl<typeof TerminalService>["write"] {
  return async (request) => {
    const validation = new Validation();
    checkTarget(validation, request);
    checkInput(validation, "data", request.data);
    if (request.inputId !== "") validation.id("input_id", request.inputId);
    validation.done();
    await deps.workspaces.resolve(request.workspace, request.epoch);
    return { replayed: deps.terminals.find(request.workspace, request.terminalId).write(request.data, request.inputId) };
  };
}
