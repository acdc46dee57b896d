import type { Launcher, ProcessEnd, ProcessSink, ProcessSpec, RunningProcess } from "../launcher.ts";
import type { Cgroups, WorkspaceCgroup } from "./cgroups.ts";

/** What a shell exits with whose last command was killed. */
const KILLED_CODE = 137;

/**
 * Tells of processes that the kernel killed for memory: those that died of SIGKILL, or by a shell's word for it, while their group's count of such kills
 * rose, and whom hands didn't kill. Each kill explains one end, so of two that die at once only as many are told as the kernel counted.
 */
export class MemoryWatch implements Launcher {
  readonly #launcher: Launcher;
  readonly #cgroups: Cgroups;
  /** Kills that explained an end already. */
  readonly #explained = new WeakMap<WorkspaceCgroup, number>();

  constructor(launcher: Launcher, cgroups: Cgroups) {
    this.#launcher = launcher;
    this.#cgroups = cgroups;
  }

  start(spec: ProcessSpec, sink: ProcessSink): RunningProcess {
    const group = this.#cgroups.of(spec.workspace);
    const before = group.killedForMemory();
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

  #explain(end: ProcessEnd, group: WorkspaceCgroup, before: number): ProcessEnd {
    const isKilled = (end.kind === "signal" && end.signal === "SIGKILL") || (end.kind === "exit" && end.code === KILLED_CODE);
    if (!isKilled) return end;
    const explained = Math.max(before, this.#explained.get(group) ?? 0);
    if (group.killedForMemory() <= explained) return end;
    this.#explained.set(group, explained + 1);
    return { ...end, outOfMemory: true };
  }
}
