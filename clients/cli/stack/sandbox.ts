import { spawnSync } from "node:child_process";
import { CliError } from "../errors.ts";
import { ExitCode } from "../exit-codes.ts";

/** How commands are kept apart from the machine. */
export const SANDBOXES = ["bwrap", "process"] as const;
export type SandboxKind = (typeof SANDBOXES)[number];

/** What a command in the sandbox may reach: what the machine reaches, or nothing. */
export const NETWORKS = ["public", "host", "none"] as const;
export type Network = (typeof NETWORKS)[number];

const PROBE_TIMEOUT_MS = 10_000;
/** The namespaces that the jail is made of; where one can't be had, there is no jail. */
const PROBE = ["--unshare-pid", "--unshare-ipc", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "--die-with-parent", "true"];

/**
 * The sandbox to use: what was asked for, else bubblewrap. Throws where bubblewrap does not work here: commands run without a jail
 * only where the user says so.
 */
export function chooseSandbox(wanted: SandboxKind | undefined): SandboxKind {
  if (wanted === "process") return "process";
  const problem = probeBubblewrap();
  if (problem === undefined) return "bwrap";
  const message = `no sandbox: ${problem}; or run commands without a jail, as you, with --sandbox process`;
  throw new CliError(ExitCode.refused, "no_sandbox", message);
}

/** Why bubblewrap can't be used here, with what to do; `undefined` where it works. */
function probeBubblewrap(): string | undefined {
  const probe = spawnSync("bwrap", PROBE, { timeout: PROBE_TIMEOUT_MS, encoding: "utf8" });
  if (probe.error !== undefined && (probe.error as NodeJS.ErrnoException).code === "ENOENT") {
    return "bubblewrap is not installed: install the package bubblewrap (`npm run setup` does it)";
  }
  if (probe.status === 0) return undefined;
  const why = probe.error?.message ?? probe.stderr.trim().split("\n").at(-1) ?? `it ended with ${probe.status}`;
  return `bubblewrap is installed but can't make its namespaces here (${why}): allow unprivileged user namespaces`;
}
