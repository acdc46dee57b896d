import { constants } from "node:os";
import type { Cgroups, WorkspaceCgroup } from "../cgroup/cgroups.ts";
import type { Launcher, LimitMet, ProcessEnd, ProcessSink, ProcessSpec, RunningProcess } from "../launcher.ts";

/** What a workspace may have, which the kernel or hands enforces. 0: not bounded. */
export interface WatchedLimits {
  readonly memoryBytes: number;
  readonly diskBytes: number;
  readonly processes: number;
}

/**
 * Tells which limit a process met: those that died of SIGKILL, or by a shell's word for it, while their group's count
 * of kills for memory rose, and whom hands didn't kill; those that the kernel ended for the size of a file; those
 * that failed while processes were refused. Each kill for memory explains one end, so of two that die at once only as
 * many are told as were counted.
 */
export class LimitWatch implements Launcher {
  readonly #launcher: Launcher;
  readonly #cgroups: Cgroups;
  readonly #limits: WatchedLimits;
  /** Kills that explained an end already. */
  readonly #explained = new WeakMap<WorkspaceCgroup, number>();

  constructor(launcher: Launcher, cgroups: Cgroups, limits: WatchedLimits) {
    this.#launcher = launcher;
    this.#cgroups = cgroups;
    this.#limits = limits;
  }

  start(spec: ProcessSpec, sink: ProcessSink): RunningProcess {
    const group = this.#cgroups.of(spec.workspace);
    const before = { killed: group.killedForMemory(), refused: group.refusedProcesses() };
    let isOurs = false;
    const running = this.#launcher.start(spec, {
      started: (pid) => sink.started(pid),
      output: (stream, data) => sink.output(stream, data),
      inputTaken: (bytes) => sink.inputTaken(bytes),
      ended: (end) => sink.ended(isOurs ? end : this.#explain(end, group, before)),
    });
    return {
      write: (data) => running.write(data),
      closeStdin: () => running.closeStdin(),
      pause: () => running.pause(),
      resume: () => running.resume(),
      identify: () => running.identify(),
      signal: (name) => {
        isOurs ||= name === "SIGKILL";
        running.signal(name);
      },
    };
  }

  async close(): Promise<void> {
    await this.#launcher.close();
    await this.#cgroups.close();
  }

  #explain(end: ProcessEnd, group: WorkspaceCgroup, before: { readonly killed: number; readonly refused: number }): ProcessEnd {
    if (end.kind !== "exit" && end.kind !== "signal") return end;
    const limit = this.#memory(end, group, before.killed) ?? this.#fileSize(end) ?? this.#processes(end, group, before.refused);
    return limit === undefined ? end : { ...end, limit };
  }

  #memory(end: Ended, group: WorkspaceCgroup, before: number): LimitMet | undefined {
    if (!isBy(end, "SIGKILL")) return undefined;
    const explained = Math.max(before, this.#explained.get(group) ?? 0);
    if (group.killedForMemory() <= explained) return undefined;
    this.#explained.set(group, explained + 1);
    const { memoryBytes } = this.#limits;
    const own = memoryBytes === 0 ? "" : `its workspace (HANDS_MEMORY_BYTES: ${memoryBytes} bytes) or of `;
    return { kind: "memory", message: `it was killed because the memory of ${own}the machine was used up` };
  }

  #fileSize(end: Ended): LimitMet | undefined {
    const { diskBytes } = this.#limits;
    if (diskBytes === 0 || !isBy(end, "SIGXFSZ")) return undefined;
    return { kind: "disk", message: `a file of it would have more than the ${diskBytes} bytes of its workspace (HANDS_DISK_BYTES)` };
  }

  #processes(end: Ended, group: WorkspaceCgroup, before: number): LimitMet | undefined {
    const { processes } = this.#limits;
    if ((end.kind === "exit" && end.code === 0) || processes === 0 || group.refusedProcesses() <= before) return undefined;
    const message = `while it ran its workspace had as many processes and threads as it may have, ${processes} (HANDS_PROCESSES)`;
    return { kind: "processes", message };
  }
}

type Ended = Extract<ProcessEnd, { kind: "exit" | "signal" }>;

/** It died of this signal, or a shell exited as it does if its last command died of it. */
function isBy(end: Ended, signal: NodeJS.Signals): boolean {
  return end.kind === "signal" ? end.signal === signal : end.code === 128 + constants.signals[signal];
}
