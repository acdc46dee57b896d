import { DEFAULT_PORT, type Environment } from "../config.ts";
import { CliError } from "../errors.ts";
import { ExitCode } from "../exit-codes.ts";
import { type ModelPlan, planModel, STAND_IN } from "./model.ts";
import type { StackPaths } from "./paths.ts";
import { liveRecord, readRecord } from "./record.ts";
import { joinRepositories } from "./repositories.ts";
import { chooseSandbox, NETWORKS, type Network, SANDBOXES, type SandboxKind } from "./sandbox.ts";
import type { StackPlan } from "./services.ts";
import { planStore } from "./store.ts";

/** What the user asks for on the command line; what is absent is free to choose. */
export interface StackWishes {
  readonly port?: number;
  readonly sandbox?: SandboxKind;
  readonly network?: Network;
  readonly model?: string;
  readonly redis?: string;
  readonly repositories?: readonly string[];
  /** What runs is stopped first: as it was, but for what is asked for. */
  readonly restart?: boolean;
}

/**
 * Decide what to start. What the user does not ask for stays as the stack has it, until `leaf down`: a second `leaf up` mends a stack,
 * it does not change it.
 */
export function planStack(paths: StackPaths, environment: Environment, wishes: StackWishes): Omit<StackPlan, "version"> {
  const hands = readRecord(paths, "hands")?.settings;
  const sandbox = wishes.sandbox ?? SANDBOXES.find((kind) => kind === hands?.["sandbox"]);
  const network = wishes.network ?? NETWORKS.find((reach) => reach === hands?.["network"]);
  if (network !== undefined && network !== "host" && sandbox === "process") {
    const message = `without a jail nothing keeps a command off the network: leave --network ${network} away, or --sandbox process`;
    throw new CliError(ExitCode.usage, "bad_network", message);
  }
  const chosen = chooseSandbox(sandbox);
  const { model, notes } = planRunningModel(paths, environment, wishes);
  const store = planStore(paths, environment, wishes);
  const repositories = wishes.repositories === undefined ? (hands?.["repositories"] ?? "") : joinRepositories(wishes.repositories);
  const reach = network ?? (chosen === "bwrap" ? "public" : "host");
  return { paths, environment, sandbox: chosen, network: reach, repositories, model, store, notes };
}

/** The dispatcher's port: as asked for; where any will do, the one where it is, or was before it died; else the usual one. */
export function choosePort(paths: StackPaths, wanted: number | undefined): number {
  if (wanted !== undefined && wanted !== 0) return wanted;
  const known = /:(\d+)\/?$/.exec(readRecord(paths, "dispatcher")?.address ?? "")?.[1];
  return known === undefined ? (wanted ?? DEFAULT_PORT) : Number(known);
}

/** A dispatcher that runs keeps its model, even where the environment has changed since. */
function planRunningModel(
  paths: StackPaths,
  environment: Environment,
  { model: wanted, restart }: StackWishes,
): { model: ModelPlan; notes: readonly string[] } {
  const running = liveRecord(paths, "dispatcher")?.settings;
  const kept = running?.["standIn"] === "true" ? STAND_IN : running?.["model"];
  // What is started again needs the key of its model again.
  const planned = planModel(environment, wanted ?? (restart ? kept : undefined));
  if (running === undefined || wanted !== undefined || restart) return { model: planned, notes: planned.notes };
  const model: ModelPlan = { standIn: running["standIn"] === "true", model: running["model"] ?? "", notes: [] };
  if (model.standIn === planned.standIn && model.model === planned.model) return { model, notes: planned.notes };
  return {
    model,
    notes: ["The running stack keeps its model; for the one that the environment asks for now: `leaf down`, then `leaf up`."],
  };
}
