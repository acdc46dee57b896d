import { dirname } from "node:path";
import type { KeeperFiles } from "../process/keeper/launcher.ts";
import type { Workspace } from "../workspaces/workspaces.ts";
import type { Shown } from "./commands.ts";
import { AGENT } from "./users.ts";
import type { WorkspaceJail } from "./workspace.ts";

/** Where the jail has the fork server's programs. */
const PLACE = "/run/keeper";

/** How commands are bounded in a workspace's jail. */
export interface JailedKeeperOptions {
  readonly workspace: Pick<Workspace, "name" | "path">;
  /** What the jail shows beside the workspace's own. */
  readonly shown: readonly Shown[];
  readonly bounds: ProcessBounds;
  /** Commands are another user than the fork server. */
  readonly dividesUsers: boolean;
}

/**
 * The keeper in the jail for commands. It is the jail's first process: no signal of a command reaches it, and if it ends all of them end. Commands can't
 * look into it either: it is another user, or it forbids that itself.
 */
export function jailedKeeper(
  files: KeeperFiles,
  jail: WorkspaceJail,
  { workspace, shown, bounds, dividesUsers }: JailedKeeperOptions,
): KeeperFiles {
  const programs = { from: dirname(files.keeper), to: PLACE, writable: false };
  const around = jail.around(workspace, [...shown, programs], ["--as-pid-1", "--"]);
  return {
    keeper: `${PLACE}/keeper`,
    zygote: `${PLACE}/zygote.so`,
    before: [...around, ...bounded(bounds)],
    arguments: dividesUsers ? [String(AGENT.id)] : [],
  };
}

/** What the kernel bounds for each process of a workspace. 0: not bounded. */
export interface ProcessBounds {
  /** Processes and threads of its user in the jail's own user namespace. */
  readonly processes: number;
  /** Size of one file. */
  readonly fileBytes: number;
}

const BOUNDED = `
echo 500 >/proc/self/oom_score_adj
[ "$0" = 0 ] || ulimit -u "$0"
[ "$1" = 0 ] || ulimit -f "$1"
shift
exec nice -n 5 -- "$@"`;
/** Bash's unit for the size of files. */
const BLOCK_BYTES = 1024;

/** Runs a program within these bounds that the daemon goes before: on the CPU, and if the machine's memory is used up. */
export function bounded({ processes, fileBytes }: ProcessBounds): string[] {
  return ["/bin/bash", "-c", BOUNDED, String(processes), String(Math.ceil(fileBytes / BLOCK_BYTES))];
}
