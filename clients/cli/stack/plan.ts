import { spawnSync } from "node:child_process";
import { DEFAULT_PORT, type Environment } from "../config.ts";
import { CliError, ExitCode } from "../errors.ts";
import { type ModelPlan, planModel, STAND_IN } from "./model.ts";
import type { StackPaths } from "./paths.ts";
import { readPoolSize } from "./pool.ts";
import type { Version } from "./programs.ts";
import { liveRecord, readRecord } from "./record.ts";
import { joinRepositories } from "./repositories.ts";
import { planStore, type StorePlan } from "./store.ts";

/** How commands are kept apart from the machine. */
export const SANDBOXES = ["bwrap", "process"] as const;
export type SandboxKind = (typeof SANDBOXES)[number];

/** What a command in the sandbox may reach: public addresses, whatever the machine reaches, or nothing. */
export const NETWORKS = ["public", "host", "none"] as const;
export type Network = (typeof NETWORKS)[number];

const PROBE_TIMEOUT_MS = 10_000;
/** The namespaces that the jail is made of. Without one of them there is no jail. */
const PROBE = ["--unshare-pid", "--unshare-ipc", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "--die-with-parent", "true"];

/** The sandboxes of a stack. */
export interface PoolPlan {
  /** How many there are. */
  readonly sandboxes: number;
  /** Sessions are placed in one of them; otherwise the only one is everybody's. */
  readonly isPool: boolean;
}

/** What the stack is started with. */
export interface StackPlan extends PoolPlan {
  readonly paths: StackPaths;
  readonly version: Version;
  readonly environment: Environment;
  readonly sandbox: SandboxKind;
  readonly network: Network;
  /** Directories whose repositories are cloned by their paths, as hands' setting has them; empty for none. */
  readonly repositories: string;
  readonly model: ModelPlan;
  readonly store: StorePlan;
  /** What the user should know about the choices, a line each. */
  readonly notes: readonly string[];
}

/** What the user asks for on the command line; what is absent is free to choose. */
export interface StackWishes {
  readonly port?: number;
  readonly sandbox?: SandboxKind;
  readonly network?: Network;
  readonly sandboxes?: number;
  readonly model?: string;
  readonly redis?: string;
  readonly repositories?: readonly string[];
  /** Stop what runs first. Everything that is not asked for stays as it was. */
  readonly restart?: boolean;
}

/**
 * Decide what to start. What the user does not ask for stays as it is until `leaf down`: a second `leaf up` mends a
 * stack, it does not change it.
 */
export function planStack(paths: StackPaths, environment: Environment, wishes: StackWishes): Omit<StackPlan, "version"> {
  const hands = readRecord(paths, "hands")?.settings;
  const sandbox = wishes.sandbox ?? SANDBOXES.find((kind) => kind === hands?.["sandbox"]);
  const network = wishes.network ?? NETWORKS.find((reach) => reach === hands?.["network"]);
  if (network !== undefined && network !== "host" && sandbox === "process") {
    const message = `without a jail nothing keeps a command off the network: leave out --network ${network} or --sandbox process`;
    throw new CliError(ExitCode.usage, "bad_network", message);
  }
  const chosen = chooseSandbox(sandbox);
  const pool = planPool(paths, wishes.sandboxes);
  // A dispatcher that is started again needs its secrets again.
  const kept = { ...wishes, restart: wishes.restart === true || lacksPool(paths, pool) };
  const { model, notes } = planRunningModel(paths, environment, kept);
  const store = planStore(paths, environment, kept);
  const repositories = wishes.repositories === undefined ? (hands?.["repositories"] ?? "") : joinRepositories(wishes.repositories);
  const reach = network ?? (chosen === "bwrap" ? "public" : "host");
  return { paths, environment, sandbox: chosen, network: reach, ...pool, repositories, model, store, notes };
}

function planPool(paths: StackPaths, wanted: number | undefined): PoolPlan {
  const before = readPoolSize(paths);
  const sandboxes = wanted ?? before ?? 1;
  return { sandboxes, isPool: before !== undefined || sandboxes > 1 };
}

/** The dispatcher runs without the pool that the plan has. */
export function lacksPool(paths: StackPaths, { isPool }: PoolPlan): boolean {
  const running = liveRecord(paths, "dispatcher")?.settings;
  return isPool && running !== undefined && running["pool"] !== "true";
}

/** The dispatcher's port: the one that was asked for, else the one that it has or had before it died, else the usual one. */
export function choosePort(paths: StackPaths, wanted: number | undefined): number {
  if (wanted !== undefined && wanted !== 0) return wanted;
  const known = /:(\d+)\/?$/.exec(readRecord(paths, "dispatcher")?.address ?? "")?.[1];
  return known === undefined ? (wanted ?? DEFAULT_PORT) : Number(known);
}

/** A running dispatcher keeps its model, even if the environment has changed since. */
function planRunningModel(
  paths: StackPaths,
  environment: Environment,
  { model: wanted, restart }: StackWishes,
): { model: ModelPlan; notes: readonly string[] } {
  const running = liveRecord(paths, "dispatcher")?.settings;
  const kept = running?.["standIn"] === "true" ? STAND_IN : running?.["model"];
  // A restarted model needs its key again.
  const planned = planModel(environment, wanted ?? (restart ? kept : undefined));
  if (running === undefined || wanted !== undefined || restart) return { model: planned, notes: planned.notes };
  const model: ModelPlan = { standIn: running["standIn"] === "true", model: running["model"] ?? "", notes: [] };
  if (model.standIn === planned.standIn && model.model === planned.model) return { model, notes: planned.notes };
  return {
    model,
    notes: ["The running stack keeps its model; for the one that the environment asks for now: `leaf down`, then `leaf up`."],
  };
}

/**
 * The sandbox to use: what was asked for, else bubblewrap. Throws if bubblewrap does not work here: commands run without
 * a jail only if the user says so.
 */
export function chooseSandbox(wanted: SandboxKind | undefined): SandboxKind {
  if (wanted === "process") return "process";
  const problem = probeBubblewrap();
  if (problem === undefined) return "bwrap";
  const message = `no sandbox: ${problem}; or run commands without a jail, as you, with --sandbox process`;
  throw new CliError(ExitCode.refused, "no_sandbox", message);
}

/** Why bubblewrap can't be used here, with what to do; `undefined` if it works. */
function probeBubblewrap(): string | undefined {
  const probe = spawnSync("bwrap", PROBE, { timeout: PROBE_TIMEOUT_MS, encoding: "utf8" });
  if (probe.error !== undefined && (probe.error as NodeJS.ErrnoException).code === "ENOENT") {
    return "bubblewrap is not installed: install the package bubblewrap (`npm run setup` does it)";
  }
  if (probe.status === 0) return undefined;
  const why = probe.error?.message ?? probe.stderr.trim().split("\n").at(-1) ?? `it ended with ${probe.status}`;
  return `bubblewrap is installed but can't make its namespaces here (${why}): allow unprivileged user namespaces`;
}
