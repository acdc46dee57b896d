import { join, normalize } from "node:path";
import type { ServiceImpl } from "@connectrpc/connect";
import { Validation } from "@serverless-harness/kit/validate";
import type { OpenRequest, TerminalService } from "@serverless-harness/proto/hands";
import type { TerminalDeps } from "./deps.ts";
import { checkSize, checkTarget, terminalMessage } from "./messages.ts";

const MAX_ARGV_BYTES = 128 * 1024;
const DEFAULT_COLUMNS = 80;
const DEFAULT_ROWS = 24;

export function open(deps: TerminalDeps): ServiceImpl<typeof TerminalService>["open"] {
  return async (request) => {
    const size = {
      columns: request.columns === 0 ? DEFAULT_COLUMNS : request.columns,
      rows: request.rows === 0 ? DEFAULT_ROWS : request.rows,
    };
    validate(request, size);
    const workspace = await deps.workspaces.resolve(request.workspace, request.epoch);
    const { terminal, existed } = deps.terminals.open(workspace, request.terminalId, {
      argv: request.argv.length === 0 ? ["/bin/bash", "-i"] : request.argv,
      cwd: join(workspace.path, request.cwd),
      env: { ...deps.environment(workspace), TERM: "xterm-256color", ...request.env },
      ...size,
    });
    await terminal.started.catch(async (error: unknown) => {
      await deps.terminals.close(workspace.name, request.terminalId);
      throw error;
    });
    return { terminal: terminalMessage(terminal), existed };
  };
}

function validate(request: OpenRequest, size: { columns: number; rows: number }): void {
  const validation = new Validation();
  checkTarget(validation, request);
  checkSize(validation, "", size);
  validation.maxBytes("argv", request.argv.join("\0"), MAX_ARGV_BYTES);
  validation.check("argv", !request.argv.some((arg) => arg.includes("\0")), "must not hold a NUL");
  validation.check("argv", request.argv[0] !== "", "must begin with a program");
  validation.check("cwd", staysInside(request.cwd), "must stay inside the workspace");
  for (const [name, value] of Object.entries(request.env)) {
    validation.check(
      `env[${name}]`,
      /^[^=\0]+$/.test(name) && !value.includes("\0"),
      "must be a name without `=`, and a value without NUL",
    );
  }
  validation.done();
}

/** Lexically; the kernel resolves the rest inside the sandbox. */
function staysInside(path: string): boolean {
  const parts = normalize(path).split("/");
  return !path.startsWith("/") && !path.includes("\0") && parts[0] !== "..";
}
