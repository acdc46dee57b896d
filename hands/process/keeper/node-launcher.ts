import type { Readable } from "node:stream";
import { outOfResources } from "@serverless-harness/kit/child";
import { HarnessError } from "@serverless-harness/kit/errors";
import { Stream } from "@serverless-harness/proto/hands";
import type { ProcessIdentity } from "../../journal/record.ts";
import { Drain } from "../../terminals/drain.ts";
import type { Launcher, ProcessEnd, ProcessSink, ProcessSpec, RunningProcess } from "../launcher.ts";
import { identify } from "../processes.ts";
import { Guard, type GuardSink } from "./guard.ts";

/** Starts processes by Node itself, each under a guard: no fork server, but each start costs as much as the daemon is large. */
export class NodeLauncher implements Launcher {
  readonly #running = new Set<NodeProcess>();

  start(spec: ProcessSpec, sink: ProcessSink): RunningProcess {
    const running = new NodeProcess(spec, sink, () => this.#running.delete(running));
    this.#running.add(running);
    running.start();
    return running;
  }

  /** Kill what ended processes of a workspace left in the background. Resolves when it is gone. */
  async killRest(workspace: string): Promise<void> {
    await kill([...this.#running].filter((running) => running.isOver && running.workspace === workspace));
  }

  async close(): Promise<void> {
    await kill([...this.#running]);
  }
}

async function kill(processes: readonly NodeProcess[]): Promise<void> {
  for (const running of processes) running.signal("SIGKILL");
  await Promise.all(processes.map((running) => running.gone));
}

class NodeProcess implements RunningProcess {
  readonly #spec: ProcessSpec;
  readonly #sink: ProcessSink;
  readonly #onGone: () => void;
  readonly #gone = Promise.withResolvers<void>();
  #guard: Guard | undefined;
  #identity: ProcessIdentity | undefined;
  #end: ProcessEnd | undefined;
  #drain: Drain | undefined;
  #openStreams = 0;
  #isOver = false;
  #isGone = false;

  constructor(spec: ProcessSpec, sink: ProcessSink, onGone: () => void) {
    this.#spec = spec;
    this.#sink = sink;
    this.#onGone = onGone;
  }

  get workspace(): string {
    return this.#spec.workspace.name;
  }

  /** Its end was told; what it left in the background may go on. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** Resolves when its end was told, and nothing that it started is left. */
  get gone(): Promise<void> {
    return this.#gone.promise;
  }

  start(): void {
    const { command, cwd, env, stdin } = this.#spec;
    const sink: GuardSink = {
      started: (pid) => {
        this.#identity = identify(pid);
        this.#sink.started(pid);
      },
      failed: (error) => this.#fail(error),
      ended: (end) => {
        this.#end = "code" in end ? { kind: "exit", code: end.code } : { kind: "signal", signal: end.signal };
        if (this.#openStreams === 0) this.#tellEnd();
        else this.#drain?.begin();
      },
      gone: () => {
        this.#isGone = true;
        this.#settle();
      },
    };
    try {
      this.#guard = new Guard({ command, cwd, env, stdin }, sink);
    } catch (error) {
      this.#fail(error as Error);
      sink.gone();
      return;
    }
    const { stdin: input, stdout, stderr } = this.#guard;
    // A process that reads no input any more is no error of ours.
    input?.on("error", () => undefined);
    const streams = [stdout, stderr].filter((stream) => stream !== null);
    this.#openStreams = streams.length;
    this.#drain = new Drain(streams, () => this.#tellEnd());
    this.#watch(stdout, Stream.STDOUT);
    this.#watch(stderr, Stream.STDERR);
  }

  write(data: Uint8Array): void {
    // Called with an error too: then it reads no more.
    this.#guard?.stdin?.write(data, () => this.#sink.inputTaken(data.length));
  }

  closeStdin(): void {
    this.#guard?.stdin?.end();
  }

  signal(name: NodeJS.Signals): void {
    this.#guard?.signal(name);
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
    stream?.once("close", () => {
      if (--this.#openStreams === 0) this.#tellEnd();
    });
  }

  /** Its output is drained, or whoever else holds the pipes was waited for long enough. */
  #tellEnd(): void {
    if (this.#end !== undefined) this.#over(this.#end);
  }

  #fail(error: Error): void {
    const kind = error instanceof HarnessError || outOfResources(error, "it") !== undefined ? "unavailable" : "start_failed";
    this.#over({ kind, message: error.message });
  }

  #over(end: ProcessEnd): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#drain?.stop();
    this.#guard?.stdin?.destroy();
    this.#sink.ended(end);
    this.#settle();
  }

  #settle(): void {
    if (!this.#isOver || !this.#isGone) return;
    this.#onGone();
    this.#gone.resolve();
  }
}
