import { fileURLToPath } from "node:url";
import type { PtyLauncher } from "../terminals/pty.ts";

/**
 * Starts terminals in the jail for commands that `jail`, further arguments of bwrap, narrows down to a workspace. Their environment goes in as arguments: as an environment it would reach the programs that
 * make the jail, and some of its variables name code to load.
 */
export function jailedPty(launch: PtyLauncher, jail: readonly string[]): PtyLauncher {
  const script = fileURLToPath(new URL("./commands.sh", import.meta.url));
  return (spec, sink) => {
    const variables = Object.entries(spec.env).flatMap(([name, value]) => ["--setenv", name, value]);
    const argv = ["/bin/sh", script, "--clearenv", ...variables, "--remount-ro", "/run", ...jail, "--chdir", spec.cwd, "--", ...spec.argv];
    return launch({ ...spec, argv, env: { PATH: "/usr/bin:/bin", TERM: spec.env["TERM"] ?? "xterm-256color" } }, sink);
  };
}
