import { statSync } from "node:fs";
import { EndCause, type Stream } from "@serverless-harness/proto/hands";
import type { EndRecord } from "../journal/record.ts";
import type { Launcher, ProcessEnd, ProcessSink, ProcessSpec, RunningProcess } from "../process/launcher.ts";
import { causeOf, type Stop } from "./end.ts";
import type { Exec } from "./exec.ts";
import { type SpillOptions, SpillWriter } from "./output-spill.ts";
import { type StdinGiver, StdinRoom } from "./stdin.ts";
import type { Identify } from "./store.ts";

/** Output that may wait for the disk before the command is held up, in bytes. */
const MAX_UNWRITTEN_BYTES = 8 * 1024 * 1024;

interface RunOptions {
  readonly process: ProcessSpec;
  /** Milliseconds; 0: no limit. */
  readonly timeoutMs: number;
  readonly noOutputTimeoutMs: number;
  /** Its end mentions a silence of this many milliseconds; 0: none. */
  readonly silenceMs: number;
  /** Lag of a reader beyond which the command is held up, in bytes. */
  readonly readerLagBytes: number;
  /** Input that may wait for the command, in bytes. */
  readonly stdinBytes: number;
  /** Where the whole output goes once the capture is exceeded. */
  readonly spill: SpillOptions | undefined;
  readonly onStarted: (identify: Identify) => void;
  /** It ended, and its output is on disk. */
  readonly onEnded: (end: EndRecord) => void;
  /** Nothing was begun, as what starts processes could not be started itself. */
  readonly onUnavailable: (message: string) => void;
}

/** The live half of an exec: its process, and everything that may end it or hold it up. */
export class ExecRun implements ProcessSink {
  readonly stdin: StdinRoom;
  readonly #exec: Exec;
  readonly #options: RunOptions;
  readonly #timeout: Deadline;
  readonly #silence: Deadline;
  readonly #sent = new Set<NodeJS.Signals>();
  #spill: SpillWriter | undefined;
  #process: RunningProcess | undefined;
  /** What was asked of the process before it was there. */
  #waiting: Array<(process: RunningProcess) => void> = [];
  #stop: Stop | undefined;
  #killTimer: NodeJS.Timeout | undefined;
  #longestSilenceMs = 0;
  #isPaused = false;
  #isOver = false;

  constructor(exec: Exec, options: RunOptions) {
    this.#exec = exec;
    this.#options = options;
    const { timeoutMs, noOutputTimeoutMs } = options;
    this.stdin = new StdinRoom({ execId: exec.id, limitBytes: options.stdinBytes, isOpen: options.process.stdin });
    this.#timeout = new Deadline(timeoutMs, () =>
      this.stop({ cause: EndCause.TIMEOUT, message: `it was ended after ${timeoutMs} ms, its limit of wall time` }),
    );
    this.#silence = new Deadline(noOutputTimeoutMs, () =>
      this.stop({ cause: EndCause.NO_OUTPUT_TIMEOUT, message: `it was ended after ${noOutputTimeoutMs} ms without output` }),
    );
    exec.onProgress(() => this.#hold());
  }

  /** Start the process, unless the exec was stopped meanwhile. */
  launch(launcher: Launcher): void {
    if (this.#stop !== undefined) {
      this.ended({ kind: "start_failed", message: "it was ended before it started" });
      return;
    }
    const noDirectory = directoryProblem(this.#options.process.cwd);
    if (noDirectory !== undefined) {
      this.ended({ kind: "start_failed", message: noDirectory });
      return;
    }
    this.#timeout.start();
    this.#silence.start();
    this.#process = launcher.start(this.#options.process, this);
    for (const action of this.#waiting.splice(0)) action(this.#process);
  }

  /** End it for a reason of ours: SIGTERM, after the exec's grace SIGKILL, to every descendant. The first reason counts. */
  stop(stop: Stop, graceMs: number = this.#exec.intent.killGraceMs): void {
    if (this.#isOver) return;
    const first = this.#stop === undefined;
    this.#stop ??= stop;
    if (first) this.#process?.signal("SIGTERM");
    if (!first && graceMs > 0) return;
    clearTimeout(this.#killTimer);
    this.#killTimer = setTimeout(() => this.#kill(), graceMs);
  }

  /** The end of whatever is left, descendants that outlived the process included. */
  #kill(): void {
    this.#process?.signal("SIGKILL");
  }

  /** Pass a caller's signal on. */
  signal(name: NodeJS.Signals): void {
    this.#do((process) => {
      this.#sent.add(name);
      process.signal(name);
    });
  }

  /** Give the command input. Throws if that does not fit, or none is taken; a no-op once it has ended. */
  writeStdin(data: Uint8Array, giver: StdinGiver | undefined): void {
    if (this.#isOver || data.length === 0) return;
    this.stdin.accept(giver, data.length);
    this.#do((process) => process.write(data));
  }

  closeStdin(): void {
    this.stdin.close();
    this.#do((process) => process.closeStdin());
  }

  started(pid: number): void {
    this.#options.onStarted(() => this.#process?.identify());
    this.#exec.markStarted(pid);
  }

  output(stream: Stream, data: Buffer): void {
    this.#silence.restart();
    this.#heard();
    this.#exec.output.append(stream, data);
    this.#spillWhereNeeded();
  }

  inputTaken(bytes: number): void {
    this.stdin.free(bytes);
  }

  ended(end: ProcessEnd): void {
    this.#isOver = true;
    this.#heard();
    this.#timeout.clear();
    this.#silence.clear();
    // What a stop began, it finishes: descendants may outlive the process itself.
    if (this.#stop === undefined) clearTimeout(this.#killTimer);
    if (end.kind === "unavailable") this.#options.onUnavailable(end.message);
    else void this.#finish(end);
  }

  /** Now, or as soon as the process is there; not at all after its end. */
  #do(action: (process: RunningProcess) => void): void {
    if (this.#isOver) return;
    if (this.#process === undefined) this.#waiting.push(action);
    else action(this.#process);
  }

  async #finish(end: Parameters<typeof causeOf>[0]): Promise<void> {
    const { output } = this.#exec;
    const inline = await output.finish();
    const spilled = await this.#spill?.finish();
    const how = causeOf(end, this.#stop, this.#sent);
    this.#options.onEnded({
      ...how,
      totalBytes: output.total,
      totalLines: output.newlines,
      spillPath: spilled?.path ?? "",
      endedAtMs: Date.now(),
      ...(inline === undefined || inline.length === 0 ? {} : { output: inline }),
      message: [how.message, this.#silenceNote(), output.problem, spilled?.problem].filter(Boolean).join("; "),
    });
  }

  #heard(): void {
    this.#longestSilenceMs = Math.max(this.#longestSilenceMs, this.#exec.markWrote());
  }

  #silenceNote(): string | undefined {
    const { silenceMs } = this.#options;
    if (silenceMs === 0 || this.#longestSilenceMs < silenceMs) return undefined;
    return `it wrote nothing for ${Math.floor(this.#longestSilenceMs / 1000)} seconds on end`;
  }

  #spillWhereNeeded(): void {
    const { spill } = this.#options;
    if (spill !== undefined && this.#spill === undefined) this.#spill = SpillWriter.startWhereExceeded(this.#exec, spill);
  }

  /** Hold the process up while its readers or the disk can't follow, and let it go on when they have caught up. */
  #hold(): void {
    if (this.#isOver || this.#process === undefined) return;
    const load = Math.max(this.#exec.output.unwritten / MAX_UNWRITTEN_BYTES, this.#exec.lagBytes / this.#options.readerLagBytes);
    if (!this.#isPaused && load > 1) {
      this.#isPaused = true;
      // The silence is ours from now on.
      this.#silence.clear();
      this.#process.pause();
    } else if (this.#isPaused && load <= 0.5) {
      this.#isPaused = false;
      this.#silence.start();
      this.#process.resume();
    }
  }
}

/** What is wrong with a working directory. Checked first: whoever starts a process can't tell it from a missing program. */
function directoryProblem(path: string): string | undefined {
  try {
    return statSync(path).isDirectory() ? undefined : `the working directory ${path} is not a directory`;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    return code === "ENOENT" ? `the working directory ${path} does not exist` : `the working directory ${path} can't be entered (${code})`;
  }
}

/**
 * A time limit that can be put off cheaply: output that arrives a thousand times a second moves a number, not a timer.
 * 0 milliseconds: no limit.
 */
class Deadline {
  readonly #ms: number;
  readonly #onPassed: () => void;
  #timer: NodeJS.Timeout | undefined;
  #at = 0;

  constructor(ms: number, onPassed: () => void) {
    this.#ms = ms;
    this.#onPassed = onPassed;
  }

  start(): void {
    if (this.#ms === 0) return;
    this.clear();
    this.#at = performance.now() + this.#ms;
    this.#timer = setTimeout(() => this.#check(), this.#ms);
  }

  /** Count from now again, if it runs. */
  restart(): void {
    if (this.#timer !== undefined) this.#at = performance.now() + this.#ms;
  }

  clear(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #check(): void {
    const left = this.#at - performance.now();
    if (left > 0) {
      this.#timer = setTimeout(() => this.#check(), Math.ceil(left));
      return;
    }
    this.#timer = undefined;
    this.#onPassed();
  }
}
