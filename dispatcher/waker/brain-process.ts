import { type ChildProcess, type SpawnOptions, spawn } from "node:child_process";
import type { BrainLog } from "./brain-log.ts";
import { relayLines } from "./line-relay.ts";
import type { LiveBrain } from "./waker.ts";

const MAX_LAST_WORDS = 4096;
/** Exit code of a service whose settings can't be used. */
const BAD_SETTINGS = 64;

/** How to start a brain. */
export interface BrainCommand {
  /** Program and arguments. */
  readonly command: readonly [string, ...string[]];
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** How a brain's process ended. */
export interface ProcessExit {
  /** By itself, with exit code 0. */
  readonly clean: boolean;
  /** How, for a human, as `killed by SIGKILL`. */
  readonly note: string;
  /** Milliseconds from its start. */
  readonly livedMs: number;
  /** It has said on stderr which of its settings can't be used. */
  readonly badSettings: boolean;
}

/** A brain as a child process. */
export class BrainProcess {
  readonly name: string;
  readonly startedAt = Date.now();
  /** How it ended. Never rejects: a brain that can't be started has ended too. */
  readonly ended: Promise<ProcessExit>;
  /** Everything it wrote is in the log. May be long behind its end, where a process that it left behind holds the pipe. */
  readonly logged: Promise<unknown>;
  readonly #child: ChildProcess;
  /** The end of what it said on stderr. */
  #lastWords = "";

  constructor({ command, env }: BrainCommand, name: string, log: BrainLog) {
    this.name = name;
    const [program, ...args] = command;
    // A session of its own: a Ctrl-C in the dispatcher's terminal reaches the brain once, from the dispatcher.
    const options: SpawnOptions = { env: { ...env, BRAIN_NAME: name }, stdio: ["ignore", "pipe", "pipe"], detached: true };
    const started = performance.now();
    this.#child = spawn(program, args, options);
    this.ended = howItEnds(this.#child, () => performance.now() - started);
    const { stdout, stderr } = this.#child;
    // Text, as it is read line by line as well.
    stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.#lastWords = (this.#lastWords + text).slice(-MAX_LAST_WORDS);
    });
    this.logged = Promise.allSettled([
      // Without a free descriptor there is not even a pipe.
      ...(stdout ? [relayLines(stdout, name, "stdout", log)] : []),
      ...(stderr ? [relayLines(stderr, name, "stderr", log)] : []),
    ]);
  }

  /** The end of what it has said on stderr so far, at most 4,096 characters. */
  get lastWords(): string {
    return this.#lastWords.trim();
  }

  /** Its process id; `undefined` where it could not be started. */
  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** Its process, while it lives. */
  get live(): LiveBrain | undefined {
    const { pid, exitCode, signalCode } = this.#child;
    if (pid === undefined || exitCode !== null || signalCode !== null) return undefined;
    return { name: this.name, pid, startedAt: this.startedAt };
  }

  /** Ask it to end; kill it and what it started after `graceMs`. Resolves when it is gone. */
  async terminate(graceMs: number): Promise<void> {
    this.#child.kill("SIGTERM");
    const timer = setTimeout(() => killGroup(this.#child.pid), graceMs);
    await this.ended;
    clearTimeout(timer);
  }
}

/** Kill a brain and what it started: it leads a process group of its own. */
function killGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, "SIGKILL");
  } catch (error) {
    // Nobody is left, which is what was wanted.
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

function howItEnds(child: ChildProcess, livedMs: () => number): Promise<ProcessExit> {
  return new Promise((resolve) => {
    child.once("exit", (code, signal) => {
      killGroup(child.pid);
      const note = signal === null ? `exited with code ${code}` : `killed by ${signal}`;
      resolve({ clean: code === 0, note, livedMs: livedMs(), badSettings: code === BAD_SETTINGS });
    });
    // Stays: a signal that can't be sent is an `error` event as well.
    child.on("error", (error) => {
      if (child.pid === undefined)
        resolve({ clean: false, note: `could not be started: ${error.message}`, livedMs: livedMs(), badSettings: false });
    });
  });
}
