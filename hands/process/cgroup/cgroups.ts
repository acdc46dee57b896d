/** The control group of one workspace's processes. */
export interface WorkspaceCgroup {
  /** A program and its arguments to run a program by, so that it and all that it starts are in the group. Empty if there is none. */
  readonly enter: readonly string[];
  /** How many processes the kernel has killed for memory so far. */
  killedForMemory(): number;
  /** How often it was counted so far that more processes were wanted than it may have. */
  refusedProcesses(): number;
  /** Kill every process that is left in it, and remove it. */
  end(): Promise<void>;
}

/** Control groups, by which the kernel counts, bounds and kills processes; or none. */
export interface Cgroups {
  /** Each workspace has a group of its own. */
  readonly divides: boolean;
  /** The kernel tells of processes that it killed for memory. */
  readonly tells: boolean;
  /** A workspace's group, made if it isn't there. */
  of(workspace: { readonly name: string }): WorkspaceCgroup;
  /** End every group. */
  close(): Promise<void>;
}

const none: WorkspaceCgroup = { enter: [], killedForMemory: () => 0, refusedProcesses: () => 0, end: async () => undefined };

/** No control groups. */
export const noCgroups: Cgroups = { divides: false, tells: false, of: () => none, close: async () => undefined };
