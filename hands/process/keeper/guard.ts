import type { ChildProcess } from "node:child_process";
import { constants } from "node:os";
import type { Duplex } from "node:stream";
import { getSystemErrorMap } from "node:util";
import { startChild } from "@serverless-harness/kit/child";
import { guardFile } from "./files.ts";
import { signalName, startPayload } from "./frames.ts";

/** What a guard tells: a kind and a value, as enum report_kind and struct report of keeper.h. */
const Report = { STARTED: 1, FAILED: 2, ENDED: 3, GONE: 4 } as const;
const REPORT_BYTES = 8;
/** Descriptor of the guard's socket. */
const CONTROL = 3;

const ERRORS = new Map([...getSystemErrorMap()].map(([number, [name, message]]) => [-number, { name, message }]));

export type GuardedEnd = { readonly code: number } | { readonly signal: NodeJS.Signals };

/** What is heard of a guarded program: `started`, `ended`, `gone`, or `failed`, `gone`. */
export interface GuardSink {
  started(pid: number): void;
  /** Nothing was started. The error has the system's code. */
  failed(error: Error): void;
  ended(end: GuardedEnd): void;
  /** Nothing that descends from it is left. */
  gone(): void;
}

/** A program to start on a PTY, under a guard. */
export interface Guarded {
  /** The program (looked up in PATH) and its arguments. */
  readonly argv: readonly string[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  /** Descriptor of the master of a new PTY. */
  readonly master: number;
  readonly columns: number;
  readonly rows: number;
}

/**
 * A program over which a small process stands that Node starts (guard.c), the subreaper of all that descends from it:
 * a signal reaches whoever it started, whatever that has done to leave, and if this process dies all of them are
 * killed.
 */
export class Guard {
  readonly #child: ChildProcess;
  readonly #sink: GuardSink;
  #heard: Buffer = Buffer.alloc(0);
  #isStarted = false;
  #isOver = false;

  /** UNAVAILABLE `out_of_resources` if no process could be made. */
  constructor({ argv, cwd, env, master, columns, rows }: Guarded, sink: GuardSink) {
    this.#sink = sink;
    // The program's environment goes over the socket: some variables name code to load.
    this.#child = startChild(guardFile(), [String(columns), String(rows)], {
      cwd: "/",
      env: {},
      detached: true,
      stdio: ["ignore", "ignore", "ignore", "pipe", master],
    });
    const payload = startPayload({ shell: false, args: argv, stdin: false, cwd, env, terminal: true });
    const length = Buffer.alloc(4);
    length.writeUInt32LE(payload.length);
    const control = this.#control;
    // Its end is told by the process itself.
    control.on("error", () => undefined);
    control.on("data", (data: Buffer) => this.#hear(data));
    control.write(length);
    control.write(payload);
    this.#child.on("error", (error) => {
      if (this.#child.pid === undefined) this.#fail(error);
    });
    // Once all is read that it told: `exit` may come before the last of it.
    let left = this.#child.pid === undefined ? 1 : 2;
    const over = (): void => {
      if (--left === 0) this.#gone();
    };
    this.#child.once("exit", over);
    control.once("close", over);
  }

  /** Of the guard itself; `undefined` if it could not be started. */
  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** Signal all that descends from the program, and itself. A no-op once all are gone. */
  signal(name: NodeJS.Signals): void {
    if (!this.#control.writable) return;
    // A command with the same user may have stopped it.
    this.#child.kill("SIGCONT");
    this.#control.write(Buffer.of(constants.signals[name]));
  }

  get #control(): Duplex {
    return this.#child.stdio[CONTROL] as Duplex;
  }

  #hear(data: Buffer): void {
    this.#heard = Buffer.concat([this.#heard, data]);
    for (; this.#heard.length >= REPORT_BYTES; this.#heard = this.#heard.subarray(REPORT_BYTES)) {
      const value = this.#heard.readInt32LE(4);
      switch (this.#heard.readInt32LE(0)) {
        case Report.STARTED:
          this.#isStarted = true;
          this.#sink.started(value);
          break;
        case Report.FAILED: {
          const { name, message } = ERRORS.get(value) ?? { name: "", message: `error ${value}` };
          this.#fail(Object.assign(new Error(message), { code: name }));
          break;
        }
        case Report.ENDED:
          this.#end(endOf(value));
      }
    }
  }

  #fail(error: Error): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#sink.failed(error);
  }

  #end(end: GuardedEnd): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#sink.ended(end);
  }

  /** One that told no end was killed, and what it stood over with it. */
  #gone(): void {
    if (this.#isStarted) this.#end({ signal: "SIGKILL" });
    else this.#fail(new Error("what was to start it was killed"));
    this.#sink.gone();
  }
}

/** An end from a status as waitpid(2) tells it. */
function endOf(status: number): GuardedEnd {
  const signal = status & 0x7f;
  return signal === 0 ? { code: (status >> 8) & 0xff } : { signal: signalName(signal) };
}
