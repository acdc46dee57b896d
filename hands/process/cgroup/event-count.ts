import { closeSync, openSync, readSync } from "node:fs";

/** One of the kernel's counts in a file of a cgroup v2, as `oom_kill` in memory.events: of the group and all below it. */
export class EventCount {
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
