import type { ChildProcess } from "node:child_process";
import type { Readable } from "node:stream";
import { startChild } from "@serverless-harness/kit/child";
import type { Logger } from "@serverless-harness/kit/log";
import type { ProcessEnd, ProcessSink } from "../launcher.ts";
import { identifyBelow, type ProcessIdentity } from "../processes.ts";
import { BadFrame, Event, FrameReader, frame, MAX_REQUEST_BYTES, Request } from "./frames.ts";
import { ReportedProcess } from "./reported-process.ts";

/** How often a fork server that does not come up is started, and the pauses before the second and the third time, in milliseconds. */
const TRIES = 3;
const PAUSES_MS = [50, 500];

interface ForkServerOptions {
  readonly argv: readonly [string, ...string[]];
  /** How long it may take to answer, in milliseconds: then it hangs, or was stopped, and is killed. */
  readonly patienceMs: number;
  readonly log: Logger | undefined;
}

/**
 * One fork server and what it runs. It is started again until it is up, as nothing was begun until then. After that
 * its death is the end of all that it ran. What it tells is checked: a jailed command may have got hold of it.
 */
export class ForkServer {
  readonly #options: ForkServerOptions;
  readonly #told = new Map<number, ReportedProcess>();
  /** What it was asked before it was up, to be asked again of its successor. */
  #unconfirmed: Buffer[] | undefined = [];
  #child: ChildProcess | undefined;
  #tries = 0;
  #isClosed = false;
  #watch: NodeJS.Timeout | undefined;
  /** It told something since the watch began. */
  #isHeard = false;
  /** Signals whose delivery it has not confirmed. */
  #unanswered = 0;
  readonly #over = Promise.withResolvers<void>();
  #isOver = false;
  #whenGone: Array<() => void> = [];

  constructor(options: ForkServerOptions) {
    this.#options = options;
    this.#spawn();
  }

  /** Its process; `undefined` if there is none. */
  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** It is gone, and starts nothing any more. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** Something that it started lives, if only in the background. */
  get isBusy(): boolean {
    return this.#told.size > 0;
  }

  start(id: number, workspace: string, sink: ProcessSink, payload: Uint8Array): ReportedProcess {
    const told = new ReportedProcess(workspace, sink);
    const limit = MAX_REQUEST_BYTES - payload.length;
    if (limit < 0 || this.#told.has(id)) {
      const message = limit < 0 ? `its arguments and variables have more than ${MAX_REQUEST_BYTES} bytes` : "its id is taken";
      told.end({ kind: "start_failed", message });
      return told;
    }
    this.#told.set(id, told);
    this.#ask(Request.START, id, payload);
    this.#watchOver();
    return told;
  }

  /** Ask something of a process. A no-op once it has ended, but for signals to what it left running, and once that is gone too. */
  ask(type: number, id: number, told: ReportedProcess, payload?: Uint8Array): void {
    if (this.#told.get(id) !== told || (told.hasEnded && type !== Request.SIGNAL)) return;
    if (type === Request.STDIN) told.given(payload?.length ?? 0);
    this.#ask(type, id, payload);
    if (type !== Request.SIGNAL) return;
    this.#unanswered++;
    this.#ask(Request.PING, 0);
    this.#watchOver();
  }

  /** Who a process is, if it runs below this very server in the daemon's own pid namespace, whatever the server tells. */
  identify(told: ReportedProcess): ProcessIdentity | undefined {
    const pid = this.#child?.pid;
    return pid === undefined || told.pid === 0 || told.hasEnded ? undefined : identifyBelow(told.pid, pid);
  }

  /** Kill what ended processes of a workspace left in the background. Resolves when it is gone. */
  async killRest(workspace: string, signal: Uint8Array): Promise<void> {
    const isLeft = (told: ReportedProcess): boolean => told.workspace === workspace && told.hasEnded;
    for (const [id, told] of this.#told) if (isLeft(told)) this.ask(Request.SIGNAL, id, told, signal);
    while (!this.#isOver && [...this.#told.values()].some(isLeft)) await new Promise<void>((resolve) => this.#whenGone.push(resolve));
  }

  /** End it and all that it runs. */
  async close(): Promise<void> {
    this.#isClosed = true;
    if (this.#isOver) return;
    const child = this.#child;
    if (child === undefined) this.#end("hands stopped");
    else child.stdin?.end();
    const hangs = setTimeout(() => child?.kill("SIGKILL"), this.#options.patienceMs);
    await this.#over.promise;
    clearTimeout(hangs);
  }

  #spawn(): void {
    this.#tries++;
    const [program, ...args] = this.#options.argv;
    let child: ChildProcess;
    try {
      child = startChild(program, args, { stdio: ["pipe", "pipe", "pipe"], env: {}, cwd: "/" });
    } catch (error) {
      this.#gone(undefined, error instanceof Error ? error.message : String(error));
      return;
    }
    this.#child = child;
    child.once("error", (error) => this.#gone(child, error.message));
    const reader = new FrameReader((type, id, payload) => this.#take(type, id, payload));
    child.stdout?.on("data", (chunk: Buffer) => this.#read(child, reader, chunk));
    // A fork server that is gone is told by its exit; its pipes have nothing to add.
    child.stdout?.on("error", () => undefined);
    child.stdin?.on("error", () => undefined);
    // A pipe of its own: the daemon's log is no file for a jail to have.
    if (child.stderr !== null && child.stderr !== undefined) onLines(child.stderr, (line) => this.#problem(line));
    // `close` comes after the last byte of what it told.
    child.once("close", (code, signal) => this.#gone(child, `the fork server ended (${signal ?? code})`));
    for (const asked of this.#unconfirmed ?? []) child.stdin?.write(asked);
  }

  #problem(line: string): void {
    this.#options.log?.warn({ source: "fork server", line }, "the fork server, or the program that starts it, reports a problem");
  }

  #read(child: ChildProcess, reader: FrameReader, chunk: Buffer): void {
    if (this.#child !== child) return;
    try {
      reader.push(chunk);
    } catch (error) {
      if (!(error instanceof BadFrame)) throw error;
      this.#options.log?.error({ err: error }, "a fork server broke its protocol: it is ended, with everything that it ran");
      child.kill("SIGKILL");
      this.#gone(child, `the fork server broke its protocol and was ended: ${error.message}`);
    }
  }

  #take(type: number, id: number, payload: Buffer): void {
    this.#isHeard = true;
    if (type === Event.READY && this.#unconfirmed !== undefined) {
      this.#unconfirmed = undefined;
      return;
    }
    if (type === Event.PONG && this.#unanswered > 0) {
      this.#unanswered--;
      return;
    }
    const told = this.#told.get(id);
    if (told === undefined || this.#unconfirmed !== undefined) throw new BadFrame(`an event of type ${type} out of turn`);
    if (told.take(type, payload)) this.#forget(id);
  }

  #forget(id: number): void {
    this.#told.delete(id);
    for (const resolve of this.#whenGone.splice(0)) resolve();
  }

  #ask(type: number, id: number, payload?: Uint8Array): void {
    const asked = frame(type, id, payload);
    this.#unconfirmed?.push(asked);
    this.#child?.stdin?.write(asked);
  }

  /** While something is to be answered it has to tell something before long: nothing that it runs can be ended otherwise. */
  #watchOver(): void {
    if (this.#watch !== undefined || this.#isOver) return;
    this.#isHeard = false;
    const { log, patienceMs } = this.#options;
    this.#watch = setTimeout(() => {
      this.#watch = undefined;
      if (this.#isHeard) {
        if (this.#unanswered > 0 || [...this.#told.values()].some((told) => told.isAwaited)) this.#watchOver();
        return;
      }
      log?.error({ patienceMs }, "a fork server does not answer: it is ended, with everything that it ran");
      this.#child?.kill("SIGKILL");
    }, patienceMs);
    this.#watch.unref();
  }

  /** A try is over: without a single word of it another one follows. */
  #gone(child: ChildProcess | undefined, why: string): void {
    if (this.#isOver || this.#child !== child) return;
    this.#child = undefined;
    clearTimeout(this.#watch);
    this.#watch = undefined;
    if (this.#unconfirmed === undefined || this.#isClosed) {
      this.#end(this.#isClosed ? "hands stopped" : why);
      return;
    }
    this.#options.log?.warn({ why, attempt: this.#tries, of: TRIES }, "the fork server of commands can't be started");
    if (this.#tries >= TRIES) this.#end(`the fork server can't be started: ${why}`);
    else setTimeout(() => !this.#isOver && this.#spawn(), PAUSES_MS[this.#tries - 1]);
  }

  #end(message: string): void {
    this.#isOver = true;
    const end: ProcessEnd = { kind: this.#unconfirmed === undefined ? "lost" : "unavailable", message };
    for (const told of this.#told.values()) told.end(end);
    for (const id of [...this.#told.keys()]) this.#forget(id);
    this.#unconfirmed = [];
    this.#over.resolve();
  }
}

/** Longest line, in bytes: what goes beyond it is another one. */
const MAX_LINE = 4096;

/** Hands on what a stream brings line by line, the last one too if no newline ends it. Holds no more than one line. */
export function onLines(stream: Readable, onLine: (line: string) => void): void {
  let begun = Buffer.alloc(0);
  const emit = (bytes: Buffer): void => {
    if (bytes.length > 0) onLine(bytes.toString());
  };
  stream.on("data", (chunk: Buffer) => {
    let rest = Buffer.concat([begun, chunk]);
    for (let end = rest.indexOf(10); end >= 0 || rest.length > MAX_LINE; end = rest.indexOf(10)) {
      const length = end < 0 || end > MAX_LINE ? MAX_LINE : end;
      emit(rest.subarray(0, length));
      rest = rest.subarray(length === end ? length + 1 : length);
    }
    begun = Buffer.from(rest);
  });
  stream.once("end", () => emit(begun));
  // What it was read for is gone; whoever it belongs to tells of that.
  stream.on("error", () => undefined);
}
