import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { fileURLToPath } from "node:url";
import { onTestFinished } from "vitest";

/** A TypeScript program that runs as a process of its own; killed when the test (of vitest) ends. */
export class Child {
  readonly process: ChildProcessByStdio<Writable, Readable, null>;
  /** Every line that it has printed. */
  readonly lines: string[] = [];
  /** Resolves when it is gone and all that it printed is in {@link lines}. */
  readonly ended: Promise<void>;
  #waiters: Array<() => void> = [];

  /** `program`: a file URL. Its stdin is open, its stderr is ours. */
  constructor(program: URL, ...args: string[]) {
    this.process = spawn(process.execPath, [fileURLToPath(program), ...args], { stdio: ["pipe", "pipe", "inherit"] });
    // A child that is killed leaves a broken pipe behind, which is no news here.
    this.process.stdin.on("error", () => undefined);
    const closed = once(this.process, "close");
    createInterface(this.process.stdout).on("line", (line) => {
      this.lines.push(line);
      for (const waiter of this.#waiters.splice(0)) waiter();
    });
    this.ended = closed.then(() => {
      for (const waiter of this.#waiters.splice(0)) waiter();
    });
    onTestFinished(async () => {
      this.process.kill("SIGKILL");
      await this.ended;
    });
  }

  /** Send it a line. */
  tell(line: string): void {
    this.process.stdin.write(`${line}\n`);
  }

  /** Wait until it has printed `count` lines; fails where it ends before. */
  async printed(count: number): Promise<void> {
    while (this.lines.length < count) {
      if (this.process.exitCode !== null || this.process.signalCode !== null) throw new Error(`it ended after ${this.lines.length} lines`);
      await new Promise<void>((resolve) => this.#waiters.push(resolve));
    }
  }

  /** Kill it as the kernel would, and wait until it is gone. */
  async kill(): Promise<void> {
    this.process.kill("SIGKILL");
    await this.ended;
  }
}
