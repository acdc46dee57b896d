import type { ChildProcess } from "node:child_process";
import { existsSync } from "node:fs";
import type { Readable } from "node:stream";
import { outOfResources, startChild } from "@serverless-harness/kit/child";
import { HarnessError } from "@serverless-harness/kit/errors";
import { Stream } from "@serverless-harness/proto/hands";
import { EXEC_VARIABLE, identify, ProcessTree } from "../exec/processes.ts";
import type { ProcessIdentity } from "../journal/record.ts";
import type { Launcher, ProcessEnd, ProcessSink, ProcessSpec, RunningProcess } from "./launcher.ts";
import { Drain } from "./node-drain.ts";

/** Until a signal is sent again that could not be, in milliseconds. */
const SIGNAL_AGAIN_MS = 200;

/** Starts processes by Node itself: nothing to build, but each start costs as much as the daemon is large. */
export class NodeLauncher implements Launcher {
  readonly #running = new Set<NodeProcess>();

  start(spec: ProcessSpec, sink: ProcessSink): RunningProcess {
    const running = new NodeProcess(spec, sink, () => this.#running.delete(running));
    this.#running.add(running);
    running.start();
    return running;
  }

  async close(): Promise<void> {
    for (const running of this.#running) running.signal("SIGKILL");
    await Promise.all([...this.#running].map((running) => running.gone));
  }
}

class NodeProcess implements RunningProcess {
  readonly #spec: ProcessSpec;
  readonly #sink: ProcessSink;
  readonly #onGone: () => void;
  readonly #gone = Promise.withResolvers<void>();
  #child: ChildProcess | undefined;
  #identity: ProcessIdentity | undefined;
  #tree: ProcessTree | undefined;
  #end: ProcessEnd | undefined;
  #drain: Drain | undefined;

  constructor(spec: ProcessSpec, sink: ProcessSink, onGone: () => void) {
    this.#spec = spec;
    this.#sink = sink;
    this.#onGone = onGone;
  }

  /** Resolves when its end was told. */
  get gone(): Promise<void> {
    return this.#gone.promise;
  }

  start(): void {
    const { command, cwd, env, stdin } = this.#spec;
    const [program = "", ...args] = "shell" in command ? [shellPath(), "-c", command.shell] : command.argv;
    let child: ChildProcess;
    try {
      child = startChild(program, args, { cwd, env: { ...env }, detached: true, stdio: [stdin ? "pipe" : "ignore", "pipe", "pipe"] });
    } catch (error) {
      this.#fail(error as Error);
      return;
    }
    this.#child = child;
    child.once("error", (error: NodeJS.ErrnoException) => {
      if (child.pid === undefined) this.#fail(error);
    });
    if (child.pid === undefined) return;
    this.#identity = identify(child.pid);
    const mark = env[EXEC_VARIABLE];
    this.#tree = new ProcessTree(this.#identity, mark === undefined ? undefined : `${EXEC_VARIABLE}=${mark}`);
    // A process that reads no input any more is no error of ours.
    child.stdin?.on("error", () => undefined);
    const streams = [child.stdout, child.stderr].filter((stream) => stream !== null);
    this.#drain = new Drain(streams, () => this.#tellEnd());
    this.#watch(child.stdout, Stream.STDOUT);
    this.#watch(child.stderr, Stream.STDERR);
    child.once("exit", (code, signal) => {
      this.#end = signal === null ? { kind: "exit", code: code ?? 0 } : { kind: "signal", signal };
      this.#drain?.begin();
    });
    child.once("close", () => this.#tellEnd());
    this.#sink.started(child.pid);
  }

  write(data: Uint8Array): void {
    // Called with an error too: then it reads no more.
    this.#child?.stdin?.write(data, () => this.#sink.inputTaken(data.length));
  }

  closeStdin(): void {
    this.#child?.stdin?.end();
  }

  signal(name: NodeJS.Signals): void {
    try {
      this.#tree?.signal(name);
    } catch {
      // Out of descriptors nobody can be looked for; a signal must not get lost.
      setTimeout(() => this.signal(name), SIGNAL_AGAIN_MS);
    }
  }

  identify(): ProcessIdentity | undefined {
    return this.#identity;
  }

  pause(): void {
    this.#drain?.pause();
  }

  resume(): void {
    this.#drain?.resume();
  }

  #watch(stream: Readable | null, name: Stream): void {
    stream?.on("data", (data: Buffer) => {
      this.#drain?.touch();
      this.#sink.output(name, data);
    });
    stream?.on("error", () => undefined);
  }

  /** Its output is drained, or whoever else holds the pipes was waited for long enough. */
  #tellEnd(): void {
    const end = this.#end;
    if (end === undefined) return;
    this.#end = undefined;
    this.#drain?.stop();
    this.#child?.stdin?.destroy();
    this.#sink.ended(end);
    this.#onGone();
    this.#gone.resolve();
  }

  #fail(error: Error): void {
    const kind = error instanceof HarnessError || outOfResources(error, "it") !== undefined ? "unavailable" : "start_failed";
    this.#sink.ended({ kind, message: error.message });
    this.#onGone();
    this.#gone.resolve();
  }
}

/** `bash` by its absolute path: a command's own PATH is no business of the shell that runs it. */
function shellPath(): string {
  return ["/bin/bash", "/usr/bin/bash"].find((path) => existsSync(path)) ?? "bash";
}
