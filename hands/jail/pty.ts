import { fileURLToPath } from "node:url";
import type { PtyLauncher } from "../terminals/pty.ts";
import type { ProcessBound } from "./processes.ts";

/** Starts terminals by a program and its arguments, as to put them into a control group. */
export function groupedPty(launch: PtyLauncher, enter: readonly string[]): PtyLauncher {
  return enter.length === 0 ? launch : (spec, sink) => launch({ ...spec, argv: [...enter, ...spec.argv] }, sink);
}

/**
 * Starts terminals in the jail for commands that `jail`, further arguments of bwrap, narrows down to a workspace. Their environment goes in as arguments: as an environment it would reach the programs that
 * make the jail, and some of its variables name code to load.
 */
export function jailedPty(launch: PtyLauncher, { pids, nproc }: ProcessBound, jail: readonly string[]): PtyLauncher {
  const limit = nproc === 0 ? [] : ["/bin/bash", "-c", 'ulimit -u "$0"; exec "$@"', String(nproc)];
  const script = fileURLToPath(new URL("./commands.sh", import.meta.url));
  return (spec, sink) => {
    const variables = Object.entries(spec.env).flatMap(([name, value]) => ["--setenv", name, value]);
    const argv = [
      "/bin/sh",
      script,
      String(pids),
      "--clearenv",
      ...variables,
      "--remount-ro",
      "/run",
      ...jail,
      "--chdir",
      spec.cwd,
      "--",
      ...limit,
      ...spec.argv,
    ];
    return launch({ ...spec, argv, env: { PATH: "/usr/bin:/bin", TERM: spec.env["TERM"] ?? "xterm-256color" } }, sink);
  };
}
