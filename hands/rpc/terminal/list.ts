import type { ServiceImpl } from "@connectrpc/connect";
import { Validation } from "@serverless-harness/kit/validate";
import type { TerminalService } from "@serverless-harness/proto/hands";
import type { TerminalDeps } from "./deps.ts";
import { terminalMessage } from "./messages.ts";

export function list(deps: TerminalDeps): ServiceImpl<typeof TerminalService>["list"] {
  return (request) => {
    const validation = new Validation();
    validation.workspace("workspace", request.workspace);
    validation.done();
    return { terminals: deps.terminals.list(deps.workspaces.find(request.workspace).name).map(terminalMessage) };
  };
}
