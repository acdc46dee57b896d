import { dirname } from "node:path";
import type { KeeperFiles } from "../keeper/launcher.ts";
import type { Workspace } from "../workspaces.ts";
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
  /** Processes and threads of the workspace; 0: any number. */
  readonly processes: number;
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
  { workspace, shown, processes, dividesUsers }: JailedKeeperOptions,
): KeeperFiles {
  const programs = { from: dirname(files.keeper), to: PLACE, writable: false };
  const around = jail.around(workspace, [...shown, programs], ["--as-pid-1", "--"]);
  return {
    keeper: `${PLACE}/keeper`,
    zygote: `${PLACE}/zygote.so`,
    before: [...around, ...bounded(processes)],
    arguments: dividesUsers ? [String(AGENT.id)] : [],
  };
}

const BOUNDED = 'echo 500 >/proc/self/oom_score_adj; [ "$0" = 0 ] || ulimit -u "$0"; exec nice -n 5 -- "$@"';

/**
 * Runs a program that the daemon goes before: on the CPU, and if the machine's memory is used up. Its user, in the jail's own user namespace, has no
 * more than this many processes; 0: any number.
 */
export function bounded(processes: number): string[] {
  return ["/bin/bash", "-c", BOUNDED, String(processes)];
}
