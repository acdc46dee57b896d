import { mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { removeTree } from "../fs/remove-tree.ts";
import type { KeeperFiles } from "../process/keeper/launcher.ts";
import type { PtyLauncher } from "../terminals/pty.ts";
import type { Workspace } from "../workspaces/workspaces.ts";
import type { CommandJail, Shown } from "./command-jail.ts";
import { directoriesAround } from "./mounts.ts";
import { AGENT } from "./users.ts";

/** Where the daemon's jail has what is divided among workspaces. */
interface SharedDirectories {
  readonly root: string;
  readonly home: string;
  readonly temporary: string;
  /** Whole outputs, below the root. */
  readonly spill: string;
}

/** What a jail for one workspace's commands shows: of all workspaces, homes and temporary directories only its own. */
export class WorkspaceJail {
  readonly #shared: SharedDirectories;
  readonly #jail: CommandJail;

  constructor(shared: SharedDirectories, jail: CommandJail) {
    this.#shared = shared;
    this.#jail = jail;
  }

  /**
   * A program and its arguments to run a program by in the workspace's jail. Makes the workspace's directories. See
   * {@link CommandJail.around}.
   */
  around({ name, path }: Pick<Workspace, "name" | "path">, more: readonly Shown[], options: readonly string[]): string[] {
    const { root, home, temporary, spill } = this.#shared;
    const own = { home: join(home, name), temporary: join(temporary, name), spill: join(spill, name) };
    for (const directory of Object.values(own)) mkdirSync(directory, { recursive: true, mode: 0o700 });
    const shown = [
      { from: path, to: path, writable: true },
      { from: own.spill, to: own.spill, writable: false },
      { from: own.home, to: home, writable: true },
      { from: own.temporary, to: temporary, writable: true },
      ...more,
    ];
    const covers = ["--tmpfs", root, ...directoriesAround([path, own.spill], root)];
    return this.#jail.around({ workspace: name, covers, shown, options: ["--remount-ro", root, ...options] });
  }

  /** Remove what {@link around} made, beside the workspace itself. */
  async remove({ name }: Pick<Workspace, "name">): Promise<void> {
    const { home, temporary } = this.#shared;
    for (const directory of [home, temporary]) await removeTree(join(directory, name));
    this.#jail.release(name);
  }
}

/** Where the jail has the fork server's programs. */
const PLACE = "/run/keeper";

interface JailedKeeperOptions {
  readonly workspace: Pick<Workspace, "name" | "path">;
  /** What the jail shows beside the workspace's own. */
  readonly shown: readonly Shown[];
  readonly bounds: ProcessBounds;
  /** Commands are another user than the fork server. */
  readonly dividesUsers: boolean;
}

/**
 * The keeper in the jail for commands. It is the jail's first process: no signal of a command reaches it, and if it
 * ends all of them end. Commands can't look into it either: it is another user, or it forbids that itself.
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
interface ProcessBounds {
  /** Processes and threads of its user in the jail's own user namespace. */
  readonly processes: number;
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
function bounded({ processes, fileBytes }: ProcessBounds): string[] {
  return ["/bin/bash", "-c", BOUNDED, String(processes), String(Math.ceil(fileBytes / BLOCK_BYTES))];
}

/** Starts terminals by a program and its arguments, as to put them into a control group. */
export function groupedPty(launch: PtyLauncher, enter: readonly string[]): PtyLauncher {
  return enter.length === 0 ? launch : (spec, sink) => launch({ ...spec, argv: [...enter, ...spec.argv] }, sink);
}

interface JailedPtyOptions {
  /** Program and arguments to run a program by in the jail, which take these arguments of bwrap too. */
  readonly around: (options: readonly string[]) => string[];
  /** Of the terminal alone. */
  readonly bounds: ProcessBounds;
  /** Commands are another user than the jail's root. */
  readonly dividesUsers: boolean;
}

/**
 * Starts terminals in the jail for commands. Their environment goes in as arguments: as an environment it would reach the programs that
 * make the jail, and some of its variables name code to load.
 */
export function jailedPty(launch: PtyLauncher, { around, bounds, dividesUsers }: JailedPtyOptions): PtyLauncher {
  const id = String(AGENT.id);
  const become = dividesUsers ? ["/usr/bin/setpriv", "--reuid", id, "--regid", id, "--clear-groups", "--inh-caps", "-all"] : [];
  return (spec, sink) => {
    const variables = Object.entries(spec.env).map(([name, value]) => `${name}=${value}`);
    const enter = ["/usr/bin/env", "--ignore-environment", "--chdir", spec.cwd, ...variables];
    const argv = [...around(["--clearenv", "--"]), ...bounded(bounds), ...become, ...enter, ...spec.argv];
    return launch({ ...spec, argv, env: { PATH: "/usr/bin:/bin", TERM: spec.env["TERM"] ?? "xterm-256color" } }, sink);
  };
}
