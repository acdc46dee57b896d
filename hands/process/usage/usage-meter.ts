import { execFileSync } from "node:child_process";
import { readdirSync } from "node:fs";
import type { Logger } from "@serverless-harness/kit/log";
import type { Cgroups, WorkspaceCgroup } from "../cgroup/cgroups.ts";
import { readText } from "../system-files.ts";

/** How often workspaces are looked at, in milliseconds. */
const INTERVAL_MS = 1000;
/** Processes in a workspace's jail that may count as its own and are not below what is looked at, or the other way round. */
const UNCERTAIN = 8;

/** What a {@link UsageMeter} looks at. */
interface UsageMeterOptions {
  /** Memory of a workspace's processes together, in bytes. 0: not bounded. */
  readonly memoryBytes: number;
  /** Processes and threads of a workspace that the kernel lets it have. 0: any number. */
  readonly processes: number;
  /** Processes that all others of a workspace are below, by workspace. */
  readonly roots: () => ReadonlyMap<string, readonly number[]>;
  readonly log: Logger;
}

/**
 * Bounds the memory of workspaces if the kernel does not: it looks every second, and kills the largest processes of a
 * workspace that has too much, as the kernel would. What grows faster than that is the machine's to end. And it sees
 * which workspaces have as many processes as the kernel lets them have, since the kernel itself tells nobody but who
 * is refused one.
 */
export class UsageMeter {
  readonly #options: UsageMeterOptions;
  readonly #killed = new Map<string, number>();
  readonly #full = new Map<string, number>();
  /** Workspaces that were at the last look. */
  readonly #isFull = new Set<string>();
  readonly #timer: NodeJS.Timeout;

  constructor(options: UsageMeterOptions) {
    this.#options = options;
    this.#timer = setInterval(() => this.#look(), INTERVAL_MS).unref();
  }

  /** How many processes of a workspace it has killed. */
  killedIn(name: string): number {
    return this.#killed.get(name) ?? 0;
  }

  /** How often a workspace was seen with as many processes as it may have. */
  timesFull(name: string): number {
    return this.#full.get(name) ?? 0;
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    const { memoryBytes } = this.#options;
    const roots = this.#options.roots();
    if (roots.size === 0) return;
    const all = readProcesses();
    for (const [name, pids] of roots) {
      const members = processesBelow(pids, all);
      this.#count(name, members);
      if (memoryBytes === 0 || sum(members) <= memoryBytes) continue;
      const exact = members.map((member) => ({ ...member, residentBytes: proportionalBytes(member.pid) ?? member.residentBytes }));
      if (sum(exact) > memoryBytes) this.#reduce(name, exact);
    }
  }

  #count(name: string, members: readonly ProcessUsage[]): void {
    const { processes, log } = this.#options;
    const threads = members.reduce((total, member) => total + member.threads, 0);
    if (processes === 0 || threads < processes - UNCERTAIN) {
      this.#isFull.delete(name);
      return;
    }
    this.#full.set(name, this.timesFull(name) + 1);
    if (this.#isFull.has(name)) return;
    this.#isFull.add(name);
    log.warn({ workspace: name, threads, limit: processes }, "a workspace has as many processes as it may have (HANDS_PROCESSES)");
  }

  /** Kill the largest ones until the rest fits. */
  #reduce(name: string, members: readonly ProcessUsage[]): void {
    const { memoryBytes, log } = this.#options;
    let bytes = sum(members);
    for (const { pid, residentBytes } of members.toSorted((one, other) => other.residentBytes - one.residentBytes)) {
      if (bytes <= memoryBytes) return;
      bytes -= residentBytes;
      if (!kill(pid)) continue;
      this.#killed.set(name, this.killedIn(name) + 1);
      log.warn(
        { workspace: name, pid, residentBytes, limitBytes: memoryBytes },
        "a process was killed: its workspace has more than HANDS_MEMORY_BYTES",
      );
    }
  }
}

/** Control groups, and beside what the kernel counts in them what a meter does. */
export class MeteredCgroups implements Cgroups {
  readonly divides: boolean;
  readonly tells = true;
  readonly #cgroups: Cgroups;
  readonly #meter: UsageMeter;
  readonly #groups = new Map<string, WorkspaceCgroup>();

  constructor(cgroups: Cgroups, meter: UsageMeter) {
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
      refusedProcesses: () => inner.refusedProcesses() + this.#meter.timesFull(name),
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

function sum(processes: readonly ProcessUsage[]): number {
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

/** A process, how many threads it has, and the memory that it holds, in bytes; what it shares with others counts for each. */
interface ProcessUsage {
  readonly pid: number;
  readonly parent: number;
  readonly threads: number;
  readonly residentBytes: number;
}

let pageBytes: number | undefined;

/** All living processes, by their id. */
function readProcesses(): Map<number, ProcessUsage> {
  pageBytes ??= Number(execFileSync("getconf", ["PAGESIZE"], { encoding: "utf8" }));
  const processes = new Map<number, ProcessUsage>();
  for (const name of readdirSync("/proc")) {
    const pid = Number(name);
    if (!Number.isInteger(pid)) continue;
    const text = readText(`/proc/${pid}/stat`);
    // The fields after the name, which is in parentheses and may hold any character: state, parent, ...
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    if (fields.length <= 21) continue;
    const [parent, threads, pages] = [fields[1], fields[17], fields[21]].map(Number) as [number, number, number];
    processes.set(pid, { pid, parent, threads, residentBytes: pages * pageBytes });
  }
  return processes;
}

/** The processes below these. */
function processesBelow(roots: readonly number[], all: ReadonlyMap<number, ProcessUsage>): ProcessUsage[] {
  const children = Map.groupBy(all.values(), ({ parent }) => parent);
  const below: ProcessUsage[] = [];
  const queue = [...roots];
  for (let pid = queue.pop(); pid !== undefined; pid = queue.pop()) {
    for (const child of children.get(pid) ?? []) {
      below.push(child);
      queue.push(child.pid);
    }
  }
  return below;
}

/** The memory of a process with its share only of what it shares, in bytes; `undefined` if that is not to be known. It takes a moment. */
function proportionalBytes(pid: number): number | undefined {
  const kilobytes = /^Pss:\s+(\d+) kB$/m.exec(readText(`/proc/${pid}/smaps_rollup`))?.[1];
  return kilobytes === undefined ? undefined : Number(kilobytes) * 1024;
}
