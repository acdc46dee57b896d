import type { ServiceImpl } from "@connectrpc/connect";
import { Validation } from "@serverless-harness/kit/validate";
import type { TerminalService } from "@serverless-harness/proto/hands";
import type { TerminalDeps } from "./deps.ts";
import { checkTarget, terminalMessage } from "./messages.ts";

export function screen(deps: TerminalDeps): ServiceImpl<typeof TerminalService>["screen"] {
  return async (request) => {
    const validation = new Validation();
    checkTarget(validation, request);
    validation.range("scrollback_lines", request.scrollbackLines, 0, 1000);
    validation.done();
    const terminal = deps.terminals.find(deps.workspaces.find(request.workspace).name, request.terminalId);
    const view = await terminal.screen(request.scrollbackLines);
    return { ...view, terminal: terminalMessage(terminal) };
  };
}
