import type { Logger } from "@serverless-harness/kit/log";
import type { HandsConfig } from "../config.ts";
import { spillDirectory } from "../exec/output-spill.ts";
import { JailLauncher } from "../jail/launcher.ts";
import { jailedPty } from "../jail/pty.ts";
import { WorkspaceJail } from "../jail/workspace.ts";
import { keeperFiles } from "../keeper/files.ts";
import { KeeperLauncher } from "../keeper/launcher.ts";
import type { Launcher } from "../launch/launcher.ts";
import { NodeLauncher } from "../launch/node-launcher.ts";
import { type PtyLauncher, startPty } from "../terminals/pty.ts";
import type { Workspace, Workspaces } from "../workspaces.ts";

/** What starts the programs of workspaces. */
export interface Launchers {
  readonly execs: Launcher;
  /** Of a terminal in this workspace. */
  pty(workspace: Pick<Workspace, "name" | "path">): PtyLauncher;
}

/** Workspaces can't reach each other's files and processes. */
export function isolates(config: Pick<HandsConfig, "jailed" | "launcher">): boolean {
  return config.jailed && config.launcher === "keeper";
}

/** In the jail, whatever is started for a workspace gets a jail of its own, out of reach of the daemon and of other workspaces. */
export function chooseLaunchers(config: HandsConfig, workspaces: Workspaces, log: Logger): Launchers {
  if (!config.jailed) {
    return { execs: config.launcher === "node" ? new NodeLauncher() : new KeeperLauncher(keeperFiles()), pty: () => startPty };
  }
  const { workspaces: root, home, temporary } = config;
  const jail = new WorkspaceJail({ root, home, temporary, spill: spillDirectory(config) });
  const pty = (workspace: Pick<Workspace, "name" | "path">): PtyLauncher => jailedPty(startPty, jail.arguments(workspace));
  if (config.launcher === "node") {
    log.warn("HANDS_LAUNCHER=node: commands share the daemon's own namespaces");
    return { execs: new NodeLauncher(), pty };
  }
  const execs = new JailLauncher(keeperFiles(), jail, config.maxJails);
  workspaces.beforeDelete(async (workspace) => {
    await execs.end(workspace);
    await jail.remove(workspace);
  });
  return { execs, pty };
}
