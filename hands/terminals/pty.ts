import { closeSync, constants, openSync, writeSync } from "node:fs";
import { constants as system } from "node:os";
import { ReadStream } from "node:tty";
import { noRoomFor, outOfResources } from "@serverless-harness/kit/child";
import * as nodePty from "node-pty";
import { Guard, type GuardedEnd } from "../process/keeper/guard.ts";

/** What node-pty has beside what its types tell: Node itself can't change a PTY's size. */
const { native } = nodePty as unknown as { native: { resize(master: number, columns: number, rows: number): void } };

/** Makes a PTY whenever it is opened; the descriptor is that of its master. */
const PTY_DEVICE = "/dev/ptmx";
/** Exit codes of a shell for a program that is not there, and for one that can't be started. */
const NOT_FOUND = 127;
const NOT_STARTED = 126;

/** A program to start on a PTY. */
export interface PtySpec {
  /** Program and arguments. */
  readonly argv: readonly string[];
  /** Absolute. */
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  readonly columns: number;
  readonly rows: number;
}

/** Gets what a PTY does. */
interface PtySink {
  output(data: Buffer): void;
  /** Once, after the last output. The exit code of a signal is 128 + its number. */
  ended(end: { readonly exitCode: number; readonly signal: NodeJS.Signals | undefined }): void;
}

/** A program on a PTY. */
export interface Pty {
  /** The process that stands over the program. */
  readonly guard: number;
  /** The program's process id, once it is started; 0 if it could not be. Rejects with UNAVAILABLE `out_of_resources`. */
  readonly pid: Promise<number>;
  /** Resolves when nothing that descends from the program is left. */
  readonly gone: Promise<void>;
  write(data: Uint8Array): void;
  resize(columns: number, rows: number): void;
  /** Signal every process of it, descendants included. */
  signal(name: NodeJS.Signals): void;
}

/** Starts programs on PTYs. */
export type PtyLauncher = (spec: PtySpec, sink: PtySink) => Pty;

/** Start a program on a PTY, in a session of its own and under a guard, so that all that descends from it can be found. */
export const startPty: PtyLauncher = ({ argv, cwd, env, columns, rows }, sink) => {
  const master = openMaster();
  const gone = Promise.withResolvers<void>();
  const pid = Promise.withResolvers<number>();
  let end: GuardedEnd | undefined;
  let isClosed = false;
  const tell = (): void => {
    if (end === undefined || !isClosed) return;
    sink.ended(
      "code" in end ? { exitCode: end.code, signal: undefined } : { exitCode: 128 + system.signals[end.signal], signal: end.signal },
    );
  };
  const ended = (how: GuardedEnd): void => {
    end = how;
    tell();
    if (!isClosed) drain.begin();
  };
  let guard: Guard;
  try {
    guard = new Guard(
      { argv, cwd, env, master, columns, rows },
      {
        started: pid.resolve,
        failed: (error) => {
          const noRoom = outOfResources(error, "a terminal");
          if (noRoom === undefined) pid.resolve(0);
          else pid.reject(noRoom);
          const isMissing = "code" in error && error.code === "ENOENT";
          // As a shell would say it.
          sink.output(Buffer.from(`${argv[0]}: ${isMissing ? "not found" : error.message}\r\n`));
          ended({ code: isMissing ? NOT_FOUND : NOT_STARTED });
        },
        ended,
        gone: gone.resolve,
      },
    );
  } catch (error) {
    closeSync(master);
    throw error;
  }
  const output = new ReadStream(master);
  const input = new PtyInput(master);
  const drain = new Drain(() => output.destroy());
  output.on("data", (data: Buffer) => {
    drain.touch();
    sink.output(data);
  });
  // EIO: nobody has the other end any more.
  output.on("error", () => output.destroy());
  output.on("close", () => {
    isClosed = true;
    input.close();
    drain.stop();
    tell();
  });
  return {
    guard: guard.pid ?? 0,
    pid: pid.promise,
    gone: gone.promise,
    write: (data) => input.write(data),
    resize: (width, height) => {
      if (!output.destroyed) native.resize(master, width, height);
    },
    signal: (name) => guard.signal(name),
  };
};

/** UNAVAILABLE `out_of_resources`: the kernel gives no PTY or no descriptor. */
function openMaster(): number {
  try {
    return openSync(PTY_DEVICE, constants.O_RDWR | constants.O_NOCTTY | constants.O_NONBLOCK);
  } catch (error) {
    throw outOfResources(error, "a terminal") ?? noRoomFor("a terminal", error instanceof Error ? error.message : String(error), error);
  }
}

/** After this time without output, whatever still holds the PTY open is a background process. */
const IDLE_MS = 100;
/** Longest wait for output after the end, in milliseconds. */
const LONGEST_MS = 3000;

/** Waits for the rest of a program's output after its end: not for ever, since a background process may hold the PTY open. */
class Drain {
  readonly #onDrained: () => void;
  #idle: NodeJS.Timeout | undefined;
  #longest: NodeJS.Timeout | undefined;

  constructor(onDrained: () => void) {
    this.#onDrained = onDrained;
  }

  /** The program has ended. */
  begin(): void {
    this.stop();
    this.#idle = setTimeout(this.#onDrained, IDLE_MS);
    this.#longest = setTimeout(this.#onDrained, LONGEST_MS);
  }

  /** Output came. */
  touch(): void {
    this.#idle?.refresh();
  }

  /** The PTY is closed. */
  stop(): void {
    clearTimeout(this.#idle);
    clearTimeout(this.#longest);
    this.#idle = undefined;
  }
}

/** The programs that run on PTYs, by workspace. */
export class OpenPtys {
  readonly #pids = new Map<string, Set<number>>();

  /** Starts a workspace's programs as `launch` does, and knows them until they end. */
  counted(launch: PtyLauncher, workspace: string): PtyLauncher {
    return (spec, sink) => {
      const pids = this.#pids.get(workspace) ?? new Set();
      this.#pids.set(workspace, pids);
      const pty = launch(spec, {
        output: (data) => sink.output(data),
        ended: (end) => {
          pids.delete(pty.guard);
          sink.ended(end);
        },
      });
      pids.add(pty.guard);
      return pty;
    };
  }

  /** The processes that stand over them, of workspaces that have any. */
  pids(): Map<string, number[]> {
    const some = [...this.#pids].filter(([, pids]) => pids.size > 0);
    return new Map(some.map(([name, pids]) => [name, [...pids]]));
  }
}

/** How long to wait for a program that reads nothing before the next attempt, in milliseconds. */
const FULL_PAUSE_MS = 10;
/** Input that waits for such a program; what comes on top is dropped, as a real terminal's line does. */
const MOST_WAITING_BYTES = 1024 * 1024;

/**
 * Writes to a PTY's descriptor, which does not block. The first attempt is made at once: over a thread, as node-pty
 * does it, a key takes twice as long; and if a program does not read, node-pty tries again as fast as it can.
 */
class PtyInput {
  readonly #descriptor: number;
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(descriptor: number) {
    this.#descriptor = descriptor;
  }

  write(data: Uint8Array): void {
    if (this.#isClosed || data.length === 0 || this.#waitingBytes + data.length > MOST_WAITING_BYTES) return;
    // A copy, if it may have to wait: the caller's bytes are a part of a message.
    this.#waiting.push(Buffer.from(data));
    this.#waitingBytes += data.length;
    if (this.#timer === undefined) this.#flush();
  }

  /** The descriptor is closed, and may be that of something else soon. */
  close(): void {
    this.#isClosed = true;
    this.#waiting = [];
    clearTimeout(this.#timer);
  }

  #flush(): void {
    this.#timer = undefined;
    for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[0]) {
      const written = this.#attempt(next);
      this.#waitingBytes -= written;
      if (written === next.length) this.#waiting.shift();
      else {
        this.#waiting[0] = next.subarray(written);
        this.#timer = setTimeout(() => this.#flush(), FULL_PAUSE_MS).unref();
        return;
      }
    }
  }

  /** Bytes that were taken. */
  #attempt(data: Buffer): number {
    try {
      return writeSync(this.#descriptor, data);
    } catch {
      // EAGAIN: the program reads nothing. EIO: its end is being noticed.
      return 0;
    }
  }
}
