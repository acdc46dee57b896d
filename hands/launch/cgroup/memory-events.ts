import { closeSync, openSync, readSync } from "node:fs";
import { join } from "node:path";

/** The kernel's count of processes that it killed for memory, in a cgroup v2 and all below it. */
export class MemoryEvents {
  #descriptor: number | undefined;
  readonly #buffer = Buffer.alloc(512);

  private constructor(descriptor: number) {
    this.#descriptor = descriptor;
  }

  /** `undefined` where the group at this directory does not count memory. */
  static open(directory: string): MemoryEvents | undefined {
    try {
      return new MemoryEvents(openSync(join(directory, "memory.events"), "r"));
    } catch {
      return undefined;
    }
  }

  /** Asked at the start of every exec, so the file stays open: some 10 microseconds. */
  killed(): number {
    if (this.#descriptor === undefined) return 0;
    try {
      const size = readSync(this.#descriptor, this.#buffer, 0, this.#buffer.length, 0);
      return Number(/^oom_kill (\d+)$/m.exec(this.#buffer.toString("latin1", 0, size))?.[1] ?? 0);
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
