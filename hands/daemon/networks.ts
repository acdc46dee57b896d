import type { Logger } from "@serverless-harness/kit/log";
import type { HandsConfig } from "../config.ts";
import { networkPrograms } from "../network/programs.ts";
import { PublicNetworks } from "../network/public-networks.ts";
import { sharedNetwork, type WorkspaceNetworks } from "../network/workspace-networks.ts";

/** The networks of workspaces: one for each where commands are to reach public addresses only. With `none` the whole jail has none. */
export async function openNetworks(config: HandsConfig, log: Logger): Promise<WorkspaceNetworks> {
  if (config.network !== "public") return sharedNetwork;
  return PublicNetworks.open({ programs: networkPrograms(), directory: config.state, allowed: config.privateHosts, log });
}
