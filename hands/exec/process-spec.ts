import { hash } from "node:crypto";
import { isAbsolute, relative, resolve } from "node:path";
import { toBinary } from "@bufbuild/protobuf";
import { invalidArgument } from "@serverless-harness/kit/errors";
import { type ExecSpec, ExecSpecSchema } from "@serverless-harness/proto/hands";
import type { ProcessSpec } from "../process/launcher.ts";
import { EXEC_VARIABLE } from "../process/processes.ts";
import type { Workspace } from "../workspaces/workspaces.ts";

/** The process that a spec asks for, with `mark` in its environment. INVALID_ARGUMENT if its directory is not in the workspace. */
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

/** The working directory. By its name it has to be in the workspace; the jail holds a command to the rest. */
function directoryIn(workspace: Workspace, cwd: string): string {
  const path = resolve(workspace.path, cwd);
  const inside = relative(workspace.path, path);
  if (inside !== ".." && !inside.startsWith("../") && !isAbsolute(inside)) return path;
  throw invalidArgument([{ field: "spec.cwd", description: `must be in the workspace ${workspace.path}` }]);
}

const PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** What commands are told of their surroundings. */
export interface Homes {
  readonly home: string;
  readonly temporary: string;
  /** The name of the user that they are. */
  readonly user: string;
}

/** The sandbox's own small environment for commands. Nothing of the daemon's is in it. */
export function commandEnvironment(homes: Homes): Record<string, string> {
  return {
    PATH,
    HOME: homes.home,
    TMPDIR: homes.temporary,
    USER: homes.user,
    LOGNAME: homes.user,
    SHELL: "/bin/bash",
    LANG: "C.UTF-8",
  };
}

/** Longest preview of a command line, in characters. */
const PREVIEW_CHARACTERS = 200;

/** What makes two requests the same exec: everything but the epoch, in one form whatever the order of the variables. */
export function fingerprintOf(spec: ExecSpec): string {
  const env = Object.fromEntries(Object.entries(spec.env).sort(([a], [b]) => (a < b ? -1 : 1)));
  const canonical: ExecSpec = { ...spec, epoch: 0n, env };
  return hash("sha256", toBinary(ExecSpecSchema, canonical, { writeUnknownFields: false }), "base64url");
}

/** The start of the command line, for a human. */
export function previewOf(spec: ExecSpec): string {
  const text = spec.command.case === "shell" ? spec.command.value : (spec.command.value?.args.join(" ") ?? "");
  return text.slice(0, PREVIEW_CHARACTERS);
}
