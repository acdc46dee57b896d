import type { PtyLauncher } from "../terminals/pty.ts";
import { bounded, type ProcessBounds } from "./keeper.ts";
import { AGENT } from "./users.ts";

/** Starts terminals by a program and its arguments, as to put them into a control group. */
export function groupedPty(launch: PtyLauncher, enter: readonly string[]): PtyLauncher {
  return enter.length === 0 ? launch : (spec, sink) => launch({ ...spec, argv: [...enter, ...spec.argv] }, sink);
}

/** How terminals are started in a workspace's jail. */
export interface JailedPtyOptions {
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
