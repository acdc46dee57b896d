import { Stream } from "@serverless-harness/proto/hands";
import type { ProcessEnd, ProcessSink } from "../launcher.ts";
import { BadFrame, Event, signalName } from "./frames.ts";

/** Largest pid of any Linux. */
const MAX_PID = 4_194_304;

/**
 * What a fork server may tell of one process, in order: that it started or failed to, its output, its end, and that nothing is left of it.
 * Anything else throws a {@link BadFrame}.
 */
export class ReportedProcess {
  readonly workspace: string;
  readonly #sink: ProcessSink;
  #state: "asked" | "runs" | "ended" = "asked";
  /** Input that it was given and that is not told to be taken, in bytes. */
  #untaken = 0;
  #pid = 0;

  constructor(workspace: string, sink: ProcessSink) {
    this.workspace = workspace;
    this.#sink = sink;
  }

  /** Its process id as the fork server tells it; 0 before it has started. */
  get pid(): number {
    return this.#pid;
  }

  /** It is not told yet whether it started. */
  get isAwaited(): boolean {
    return this.#state === "asked";
  }

  /** Its end is told; what it left in the background may live on. */
  get hasEnded(): boolean {
    return this.#state === "ended";
  }

  /** It was given input. */
  given(bytes: number): void {
    this.#untaken += bytes;
  }

  /** End it for a reason that the fork server did not tell. A no-op after its end. */
  end(end: ProcessEnd): void {
    if (this.#state === "ended") return;
    this.#state = "ended";
    this.#sink.ended(end);
  }

  /** Take an event. Returns whether nothing is left of the process. */
  take(type: number, payload: Buffer): boolean {
    this.#expect(type);
    if (type === Event.STDOUT) this.#sink.output(Stream.STDOUT, payload);
    else if (type === Event.STDERR) this.#sink.output(Stream.STDERR, payload);
    else if (type === Event.STARTED) this.#start(payload.readUInt32LE(0));
    else if (type === Event.INPUT_TAKEN) this.#take(payload.readUInt32LE(0));
    else if (type === Event.ENDED) this.end(readEnd(payload));
    else if (type === Event.FAILED) this.end({ kind: "start_failed", message: payload.toString() });
    return type === Event.FAILED || type === Event.GONE;
  }

  #expect(type: number): void {
    const before = type === Event.STARTED || type === Event.FAILED ? "asked" : type === Event.GONE ? "ended" : "runs";
    if (this.#state !== before) throw new BadFrame(`an event of type ${type} of a process that ${this.#state}`);
  }

  #start(pid: number): void {
    if (pid === 0 || pid > MAX_PID) throw new BadFrame(`a process with the pid ${pid}`);
    this.#state = "runs";
    this.#pid = pid;
    this.#sink.started(pid);
  }

  #take(bytes: number): void {
    if (bytes > this.#untaken) throw new BadFrame(`${bytes} bytes of input taken of ${this.#untaken}`);
    this.#untaken -= bytes;
    this.#sink.inputTaken(bytes);
  }
}

function readEnd(payload: Buffer): ProcessEnd {
  const value = payload.readUInt32LE(1);
  if (payload[0] === 0 && value <= 255) return { kind: "exit", code: value };
  if (payload[0] === 1 && value > 0 && value <= 64) return { kind: "signal", signal: signalName(value) };
  throw new BadFrame(`an end of kind ${payload[0]} with ${value}`);
}
