import type { Logger } from "@serverless-harness/kit/log";
import type { HandsConfig } from "../config.ts";
import { spillDirectory } from "../exec/output-spill.ts";
import { CommandJail } from "../jail/command-jail.ts";
import { AGENT } from "../jail/users.ts";
import { groupedPty, jailedKeeper, jailedPty, WorkspaceJail } from "../jail/workspace-jail.ts";
import type { WorkspaceNetworks } from "../network/networks.ts";
import { DividedCgroup, ownCgroup, SharedCgroup } from "../process/cgroup/cgroup-v2.ts";
import { type Cgroups, noCgroups } from "../process/cgroup/cgroups.ts";
import { keeperFiles } from "../process/keeper/files.ts";
import { KeeperLauncher } from "../process/keeper/launcher.ts";
import { WorkspaceLauncher } from "../process/keeper/workspace-launcher.ts";
import type { Launcher } from "../process/launcher.ts";
import { LimitWatch } from "../process/usage/limit-watch.ts";
import { MeteredCgroups, UsageMeter } from "../process/usage/usage-meter.ts";
import { OpenPtys, type PtyLauncher, startPty } from "../terminals/pty.ts";
import type { Workspace } from "../workspaces/workspaces.ts";

/** What starts the programs of workspaces. */
export interface Launchers {
  readonly execs: Launcher;
  /** Of a terminal in this workspace. */
  pty(workspace: Pick<Workspace, "name" | "path">): PtyLauncher;
  /** The processes that all others of a workspace are below, by workspace, if it has a jail that lives. */
  roots(): ReadonlyMap<string, readonly number[]>;
  /** Kill all that execs of a workspace started, what they left in the background too. A no-op if workspaces have no jails. */
  kill(workspace: Pick<Workspace, "name">): Promise<void>;
  /** End what a workspace's programs run in. Its execs and terminals are to be ended before, so that each is told why. */
  end(workspace: Pick<Workspace, "name" | "path">): Promise<void>;
}

export function commandUser(config: Pick<HandsConfig, "jailed">): string {
  return config.jailed || process.getuid?.() !== 0 ? AGENT.name : "root";
}

/**
 * What is started for a workspace gets a jail of its own in the jail, a network of its own in it, and a control group
 * of its own if they can be made.
 */
export function chooseLaunchers(config: HandsConfig, networks: WorkspaceNetworks, log: Logger): Launchers {
  const cgroups = openCgroups(config, log);
  const { execs, pty, roots, kill, end } = config.jailed ? jailed(config, { cgroups, networks }, log) : unconfined(config, cgroups, log);
  const { memoryBytes, diskBytes, processes } = config;
  const metered = {
    memoryBytes: cgroups.divides && cgroups.tells ? 0 : memoryBytes,
    processes: cgroups.divides ? 0 : processes,
  };
  const isMetered = config.jailed && (metered.memoryBytes > 0 || metered.processes > 0);
  const counted = isMetered ? new MeteredCgroups(cgroups, new UsageMeter({ ...metered, roots, log })) : cgroups;
  const limits = { memoryBytes, processes, diskBytes: config.jailed ? diskBytes : 0 };
  return {
    execs: new LimitWatch(execs, counted, limits),
    pty,
    roots,
    kill,
    end: async (workspace) => {
      await end(workspace);
      await counted.of(workspace).end();
    },
  };
}

/** The control groups that hands may divide, or those that it can only read. */
function openCgroups({ cgroup, ownCgroup: shown, memoryBytes, processes, jailed: isJailed, variables }: HandsConfig, log: Logger): Cgroups {
  if (cgroup !== undefined) return DividedCgroup.open(cgroup, { memoryBytes, processes }, log);
  if (variables["HANDS_MEMORY_BYTES"] !== undefined && memoryBytes > 0 && !isJailed)
    log.warn("HANDS_MEMORY_BYTES has no effect: it needs a jail, or a cgroup v2 in HANDS_CGROUP");
  const own = isJailed ? shown : ownCgroup();
  return own === undefined ? noCgroups : new SharedCgroup(own);
}

/** What a workspace's programs are in, beside their jail. */
interface Surroundings {
  readonly cgroups: Cgroups;
  readonly networks: WorkspaceNetworks;
}

async function nothing(): Promise<void> {}
const noRoots = (): ReadonlyMap<string, readonly number[]> => new Map();

function unconfined(config: HandsConfig, cgroups: Cgroups, log: Logger): Launchers {
  const pty = (workspace: Pick<Workspace, "name">): PtyLauncher => groupedPty(startPty, cgroups.of(workspace).enter);
  const files = keeperFiles();
  if (!cgroups.divides) {
    const execs = new KeeperLauncher(files, { log });
    return { execs, pty, roots: noRoots, kill: nothing, end: ({ name }) => execs.killRest(name) };
  }
  const execs = new WorkspaceLauncher(
    (workspace) => new KeeperLauncher({ ...files, before: cgroups.of(workspace).enter }, { log: log.child({ workspace: workspace.name }) }),
    { count: config.maxJails, idleMs: config.jailIdleMs },
    log,
  );
  return { execs, pty, roots: noRoots, kill: nothing, end: (workspace) => execs.end(workspace) };
}

function jailed(config: HandsConfig, { cgroups, networks }: Surroundings, log: Logger): Launchers {
  const { workspaces: root, home, temporary } = config;
  const bounds = { processes: config.processes, fileBytes: config.diskBytes };
  const commandJail = CommandJail.open(root, log);
  const { dividesUsers } = commandJail;
  const jail = new WorkspaceJail({ root, home, temporary, spill: spillDirectory(config) }, commandJail);
  const enter = (workspace: Pick<Workspace, "name">): string[] => [...cgroups.of(workspace).enter, ...networks.enter(workspace)];
  const open = new OpenPtys();
  const pty = (workspace: Pick<Workspace, "name" | "path">): PtyLauncher =>
    jailedPty(groupedPty(open.counted(startPty, workspace.name), enter(workspace)), {
      around: (options) => jail.around(workspace, networks.shown, options),
      bounds,
      dividesUsers,
    });
  const files = keeperFiles();
  const execs = new WorkspaceLauncher(
    (workspace) => {
      const { before = [], ...keeper } = jailedKeeper(files, jail, { workspace, shown: networks.shown, bounds, dividesUsers });
      return new KeeperLauncher({ ...keeper, before: [...enter(workspace), ...before] }, { log: log.child({ workspace: workspace.name }) });
    },
    { count: config.maxJails, idleMs: config.jailIdleMs },
    log,
  );
  const end = async (workspace: Pick<Workspace, "name" | "path">): Promise<void> => {
    await execs.end(workspace);
    await jail.remove(workspace);
  };
  const roots = (): Map<string, number[]> => {
    const all = open.pids();
    for (const [name, pid] of execs.roots()) all.set(name, [...(all.get(name) ?? []), pid]);
    return all;
  };
  return { execs, pty, roots, kill: (workspace) => execs.end(workspace), end };
}
