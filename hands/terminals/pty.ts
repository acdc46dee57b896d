import { constants } from "node:os";
import { noRoomFor } from "@serverless-harness/kit/child";
import { type IPty, spawn } from "node-pty";
import { markedArgv, nextMark, signalMarked } from "./marks.ts";
import { PtyInput } from "./pty-input.ts";

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
export interface PtySink {
  output(data: Buffer): void;
  /** Once, behind the last output. The exit code of a signal is 128 + its number. */
  ended(end: { readonly exitCode: number; readonly signal: NodeJS.Signals | undefined }): void;
}

/** A program on a PTY. */
export interface Pty {
  readonly pid: number;
  write(data: Uint8Array): void;
  resize(columns: number, rows: number): void;
  /** Signal every process of it, descendants included. Returns how many there were. */
  signal(name: NodeJS.Signals): number;
}

/** Starts programs on PTYs. */
export type PtyLauncher = (spec: PtySpec, sink: PtySink) => Pty;

/** What node-pty has on Unix, beside what its types tell. */
type UnixPty = IPty & { readonly fd: number; on(event: "close", listener: () => void): void };

const SIGNAL_NAMES = new Map(Object.entries(constants.signals).map(([name, number]) => [number, name as NodeJS.Signals]));

/** Start a program with node-pty, in its own session, its processes marked so that all of them can be found. */
export const startPty: PtyLauncher = (spec, sink) => {
  const mark = nextMark();
  const [file = "", ...args] = markedArgv(mark, spec.argv, spec.env);
  const pty = spawnPty(file, args, {
    name: spec.env["TERM"] ?? "xterm-256color",
    cols: spec.columns,
    rows: spec.rows,
    cwd: spec.cwd,
    env: { ...spec.env },
    // Bytes, not text: a character may be cut between two chunks.
    encoding: null,
  });
  const input = new PtyInput(pty.fd);
  pty.on("close", () => input.close());
  let over = false;
  // The types know text only; with `encoding: null` it is a Buffer.
  pty.onData((data: string | Buffer) => {
    if (!over) sink.output(Buffer.isBuffer(data) ? data : Buffer.from(data));
  });
  pty.onExit(({ exitCode, signal }) => {
    over = true;
    input.close();
    if (signal === undefined || signal === 0) sink.ended({ exitCode, signal: undefined });
    else sink.ended({ exitCode: 128 + signal, signal: SIGNAL_NAMES.get(signal) });
  });
  return {
    pid: pty.pid,
    write: (data) => input.write(data),
    resize: (columns, rows) => {
      // Between the program's end and its exit event the descriptor is closed already (EBADF).
      try {
        if (!over) pty.resize(columns, rows);
      } catch {
        // It has no window any more.
      }
    },
    signal: (name) => signalMarked(mark, name),
  };
};

/** node-pty tells of a missing program by its end; what it throws is that the kernel gives no PTY or no process. */
function spawnPty(...args: Parameters<typeof spawn>): UnixPty {
  try {
    return spawn(...args) as UnixPty;
  } catch (error) {
    throw noRoomFor("a terminal", error instanceof Error ? error.message : String(error), error);
  }
}
