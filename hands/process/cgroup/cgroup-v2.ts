import { execFileSync } from "node:child_process";
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, readSync, rmdirSync, writeFileSync } from "node:fs";
import { rmdir } from "node:fs/promises";
import { join, relative } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { Logger } from "@serverless-harness/kit/log";
import { readText } from "../system-files.ts";
import { type Cgroups, noCgroups, type WorkspaceCgroup } from "./cgroups.ts";

const ENTER = fileURLToPath(new URL("./enter.sh", import.meta.url));
/** How long killed processes may take to leave their group, in milliseconds. */
const PATIENCE_MS = 2000;
/**
 * A workspace's share of the CPU if others want it too; 100 is that of a group which nobody gave another one, as the
 * daemon's. As nice 5 is.
 */
const CPU_WEIGHT = 33;

/** What a workspace's processes may take together. 0: no limit. */
interface CgroupLimits {
  readonly memoryBytes: number;
  readonly processes: number;
}

/** A cgroup v2 that somebody else made and bounds, as a container's: all that hands has of it is what the kernel tells. */
export class SharedCgroup implements Cgroups {
  readonly divides = false;
  readonly tells: boolean;
  readonly #group: WorkspaceCgroup;

  constructor(directory: string) {
    const kills = EventCount.open(join(directory, "memory.events"), "oom_kill");
    this.tells = kills !== undefined;
    this.#group = { enter: [], killedForMemory: () => kills?.value() ?? 0, refusedProcesses: () => 0, end: async () => undefined };
  }

  of(): WorkspaceCgroup {
    return this.#group;
  }

  async close(): Promise<void> {
    // It isn't ours.
  }
}

/**
 * A cgroup v2 that is hands' to divide: each workspace gets a group in it. One for each exec would cost it 7 ms, as
 * the kernel takes that long to move a process; its keeper is moved once, and what it starts is in the group from the
 * start.
 */
export class DividedCgroup implements Cgroups {
  readonly divides = true;
  readonly tells: boolean;
  readonly #directory: string;
  readonly #limits: CgroupLimits & { readonly isCpuShared: boolean };
  readonly #log: Logger;
  readonly #groups = new Map<string, WorkspaceCgroup>();

  private constructor(directory: string, limits: CgroupLimits, controllers: ReadonlySet<string>, log: Logger) {
    this.#directory = directory;
    this.#log = log;
    this.tells = controllers.has("memory");
    this.#limits = {
      memoryBytes: controllers.has("memory") ? limits.memoryBytes : 0,
      processes: controllers.has("pids") ? limits.processes : 0,
      isCpuShared: controllers.has("cpu"),
    };
  }

  /** Take a group over. If that can't be done, the log says why, once, and the group is only read. */
  static open(directory: string, limits: CgroupLimits, log: Logger): Cgroups {
    try {
      const controllers = enableControllers(directory);
      for (const [name, what] of [
        ["memory", "HANDS_MEMORY_BYTES does not hold by it"],
        ["pids", "HANDS_PROCESSES does not hold by it"],
        ["cpu", "workspaces share the CPU by their sessions, not evenly"],
      ] as const)
        if (!controllers.has(name)) log.warn({ cgroup: directory }, `the cgroup has no controller ${name}: ${what}`);
      const cgroups = new DividedCgroup(directory, limits, controllers, log);
      tryOut(directory);
      return cgroups;
    } catch (error) {
      log.warn(
        { cgroup: directory, err: error },
        "HANDS_CGROUP can't be divided: its memory.events is read, but workspaces get no groups of their own",
      );
      return new SharedCgroup(directory);
    }
  }

  of({ name }: { readonly name: string }): WorkspaceCgroup {
    const known = this.#groups.get(name);
    if (known !== undefined) return known;
    try {
      const group = this.#make(name);
      this.#groups.set(name, group);
      return group;
    } catch (error) {
      this.#log.error({ workspace: name, err: error }, "a workspace has no control group: no limit holds for it");
      return noCgroups.of({ name });
    }
  }

  async close(): Promise<void> {
    await Promise.all([...this.#groups.values()].map((group) => group.end()));
  }

  #make(name: string): WorkspaceCgroup {
    const directory = join(this.#directory, encodeURIComponent(name));
    mkdirSync(directory, { recursive: true });
    const { memoryBytes, processes, isCpuShared } = this.#limits;
    if (memoryBytes > 0) writeFileSync(join(directory, "memory.max"), String(memoryBytes));
    if (processes > 0) writeFileSync(join(directory, "pids.max"), String(processes));
    if (isCpuShared) writeFileSync(join(directory, "cpu.weight"), String(CPU_WEIGHT));
    const kills = EventCount.open(join(directory, "memory.events"), "oom_kill");
    const refusals = EventCount.open(join(directory, "pids.events"), "max");
    return {
      enter: ["/bin/sh", ENTER, directory],
      killedForMemory: () => kills?.value() ?? 0,
      refusedProcesses: () => refusals?.value() ?? 0,
      end: async () => {
        this.#groups.delete(name);
        kills?.close();
        refusals?.close();
        await removeGroup(directory);
      },
    };
  }
}

/** Pass the controllers for memory, processes and the CPU on to the groups below, as far as this one has them. Throws if it is not ours. */
function enableControllers(directory: string): Set<string> {
  const has = readFileSync(join(directory, "cgroup.controllers"), "utf8").trim().split(" ");
  const wanted = ["memory", "pids", "cpu"].filter((name) => has.includes(name));
  writeFileSync(join(directory, "cgroup.subtree_control"), wanted.map((name) => `+${name}`).join(" "));
  return new Set(wanted);
}

/** Whether a process can be moved into a group in it is found out now, and not with the first command. */
function tryOut(directory: string): void {
  const probe = join(directory, "probe");
  mkdirSync(probe, { recursive: true });
  execFileSync("/bin/sh", [ENTER, probe, "/bin/true"], { stdio: "pipe" });
  try {
    rmdirSync(probe);
  } catch {
    // It is empty, and taken again by the next daemon.
  }
}

async function removeGroup(directory: string): Promise<void> {
  if (existsSync(join(directory, "cgroup.kill"))) writeFileSync(join(directory, "cgroup.kill"), "1");
  // Killed processes leave it when they have died, which nothing tells but this.
  for (const until = performance.now() + PATIENCE_MS; performance.now() < until; await sleep(5)) {
    const error = await rmdir(directory).then(
      () => undefined,
      (thrown: NodeJS.ErrnoException) => thrown,
    );
    if (error?.code !== "EBUSY") return;
  }
}

/** One of the kernel's counts in a file of a cgroup v2, as `oom_kill` in memory.events: of the group and all below it. */
class EventCount {
  #descriptor: number | undefined;
  readonly #line: RegExp;
  readonly #buffer = Buffer.alloc(512);

  private constructor(descriptor: number, key: string) {
    this.#descriptor = descriptor;
    this.#line = new RegExp(`^${key} (\\d+)$`, "m");
  }

  /** `undefined` if the group has no such file. */
  static open(path: string, key: string): EventCount | undefined {
    try {
      return new EventCount(openSync(path, "r"), key);
    } catch {
      return undefined;
    }
  }

  /** Asked at the start of every exec, so the file stays open: some 10 microseconds. */
  value(): number {
    if (this.#descriptor === undefined) return 0;
    try {
      const size = readSync(this.#descriptor, this.#buffer, 0, this.#buffer.length, 0);
      return Number(this.#line.exec(this.#buffer.toString("latin1", 0, size))?.[1] ?? 0);
    } catch {
      // The group is gone.
      return 0;
    }
  }

  close(): void {
    if (this.#descriptor !== undefined) closeSync(this.#descriptor);
    this.#descriptor = undefined;
  }
}

/** The directory of the cgroup v2 that this process is in; `undefined` if there is none, or none that counts memory. */
export function ownCgroup(): string | undefined {
  const path = /^0::(\/.*)$/m.exec(readText("/proc/self/cgroup"))?.[1];
  const mount = readText("/proc/self/mountinfo")
    .split("\n")
    .map((line) => line.split(" "))
    .find((fields) => fields[fields.indexOf("-") + 1] === "cgroup2");
  const [root, place] = [mount?.[3], mount?.[4]];
  if (path === undefined || root === undefined || place === undefined) return undefined;
  // A container's mount shows a part of the tree: the part below `root`.
  const below = relative(root, path);
  const directory = below.startsWith("..") ? place : join(place, below);
  return existsSync(join(directory, "memory.events")) ? directory : undefined;
}
