import { isAbsolute, relative, resolve } from "node:path";
import { invalidArgument } from "@serverless-harness/kit/errors";
import type { ExecSpec } from "@serverless-harness/proto/hands";
import type { ProcessSpec } from "../process/launcher.ts";
import { EXEC_VARIABLE } from "../process/processes.ts";
import type { Workspace } from "../workspaces/workspaces.ts";
import { commandEnvironment, type Homes } from "./environment.ts";

/** The process that a spec asks for, with `mark` in its environment. INVALID_ARGUMENT where its directory is not in the workspace. */
export function processOf(spec: ExecSpec, workspace: Workspace, homes: Homes, mark: string): ProcessSpec {
  const base = spec.clearEnv ? {} : { ...commandEnvironment(homes), [EXEC_VARIABLE]: mark };
  return {
    workspace,
    command: spec.command.case === "argv" ? { argv: spec.command.value.args } : { shell: spec.command.value ?? "" },
    cwd: directoryIn(workspace, spec.cwd),
    env: { ...base, ...spec.env },
    stdin: spec.stdinOpen,
  };
}

/** The working directory; it has to be in the workspace by its name. What a command does then is its own business. */
function directoryIn(workspace: Workspace, cwd: string): string {
  const path = resolve(workspace.path, cwd);
  const inside = relative(workspace.path, path);
  if (inside !== ".." && !inside.startsWith("../") && !isAbsolute(inside)) return path;
  throw invalidArgument([{ field: "spec.cwd", description: `must be in the workspace ${workspace.path}` }]);
}
