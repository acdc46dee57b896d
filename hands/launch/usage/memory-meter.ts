import type { Logger } from "@serverless-harness/kit/log";
import type { Cgroups, WorkspaceCgroup } from "../cgroup/cgroups.ts";
import { type ProcessMemory, processesBelow, proportionalBytes, readProcesses } from "./process-memory.ts";

/** How often memory is looked at, in milliseconds. */
const INTERVAL_MS = 1000;

/** What a {@link MemoryMeter} looks at. */
export interface MemoryMeterOptions {
  /** Memory of a workspace's processes together, in bytes. */
  readonly limitBytes: number;
  /** Processes that all others of a workspace are below, by workspace. */
  readonly roots: () => ReadonlyMap<string, readonly number[]>;
  readonly log: Logger;
}

/**
 * Bounds the memory of workspaces if the kernel does not: it looks every second, and kills the largest processes of a workspace that has too much, as
 * the kernel would. What grows faster than that is the machine's to end.
 */
export class MemoryMeter {
  readonly #options: MemoryMeterOptions;
  readonly #killed = new Map<string, number>();
  readonly #timer: NodeJS.Timeout;

  constructor(options: MemoryMeterOptions) {
    this.#options = options;
    this.#timer = setInterval(() => this.#look(), INTERVAL_MS).unref();
  }

  /** How many processes of a workspace it has killed. */
  killedIn(name: string): number {
    return this.#killed.get(name) ?? 0;
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    const roots = this.#options.roots();
    if (roots.size === 0) return;
    const all = readProcesses();
    for (const [name, pids] of roots) {
      const members = processesBelow(pids, all);
      if (sum(members) <= this.#options.limitBytes) continue;
      const exact = members.map((member) => ({ ...member, residentBytes: proportionalBytes(member.pid) ?? member.residentBytes }));
      if (sum(exact) > this.#options.limitBytes) this.#reduce(name, exact);
    }
  }

  /** Kill the largest ones until the rest fits. */
  #reduce(name: string, members: readonly ProcessMemory[]): void {
    const { limitBytes, log } = this.#options;
    let bytes = sum(members);
    for (const { pid, residentBytes } of members.toSorted((one, other) => other.residentBytes - one.residentBytes)) {
      if (bytes <= limitBytes) return;
      bytes -= residentBytes;
      if (!kill(pid)) continue;
      this.#killed.set(name, this.killedIn(name) + 1);
      log.warn({ workspace: name, pid, residentBytes, limitBytes }, "a process was killed: its workspace has more than HANDS_MEMORY_BYTES");
    }
  }
}

/** Control groups, and beside what the kernel kills for memory in them what a meter does. */
export class MeteredCgroups implements Cgroups {
  readonly divides: boolean;
  readonly tells = true;
  readonly #cgroups: Cgroups;
  readonly #meter: MemoryMeter;
  readonly #groups = new Map<string, WorkspaceCgroup>();

  constructor(cgroups: Cgroups, meter: MemoryMeter) {
    this.divides = cgroups.divides;
    this.#cgroups = cgroups;
    this.#meter = meter;
  }

  of(workspace: { readonly name: string }): WorkspaceCgroup {
    const { name } = workspace;
    const known = this.#groups.get(name);
    if (known !== undefined) return known;
    const inner = this.#cgroups.of(workspace);
    const group: WorkspaceCgroup = {
      enter: inner.enter,
      killedForMemory: () => inner.killedForMemory() + this.#meter.killedIn(name),
      end: () => {
        this.#groups.delete(name);
        return inner.end();
      },
    };
    this.#groups.set(name, group);
    return group;
  }

  async close(): Promise<void> {
    this.#meter.close();
    await this.#cgroups.close();
  }
}

function sum(processes: readonly ProcessMemory[]): number {
  return processes.reduce((total, { residentBytes }) => total + residentBytes, 0);
}

/** False: it is gone. */
function kill(pid: number): boolean {
  try {
    return process.kill(pid, "SIGKILL");
  } catch {
    return false;
  }
}
