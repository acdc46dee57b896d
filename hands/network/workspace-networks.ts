import type { Shown } from "../jail/commands.ts";

/** What the programs of workspaces reach. */
export interface WorkspaceNetworks {
  /** A program and its arguments to run a program by, so that it and all that it starts are in the workspace's network. Empty where it is hands' own. */
  enter(workspace: { readonly name: string }): readonly string[];
  /** What the jail in it shows. */
  readonly shown: readonly Shown[];
  close(): Promise<void>;
}

/** Commands are in the network that hands is in. */
export const sharedNetwork: WorkspaceNetworks = { enter: () => [], shown: [], close: async () => undefined };
