import type { Stream } from "@serverless-harness/proto/hands";
import type { ProcessIdentity } from "./processes.ts";

export interface ProcessSpec {
  /** Whose process it is: a launcher may keep workspaces apart. */
  readonly workspace: { readonly name: string; readonly path: string };
  /** A command line for `bash -c`, or a program (looked up in PATH) and its arguments. */
  readonly command: { readonly shell: string } | { readonly argv: readonly string[] };
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  /** Keep stdin open for {@link RunningProcess.write}; else it is /dev/null. */
  readonly stdin: boolean;
}

/**
 * A limit of its workspace that a process met. `memory`: it, or what it ran, was killed for it. `disk`: it was ended
 * as a file would have become too large. `processes`: it failed while more of them were refused.
 */
export interface LimitMet {
  readonly kind: "memory" | "disk" | "processes";
  /** Names the limit and its value. */
  readonly message: string;
}

/** How a process ended: as the kernel tells, or why it could not be started. */
export type ProcessEnd =
  | { readonly kind: "exit"; readonly code: number; readonly limit?: LimitMet }
  | { readonly kind: "signal"; readonly signal: NodeJS.Signals; readonly limit?: LimitMet }
  | { readonly kind: "start_failed"; readonly message: string }
  /** What starts processes could not be started itself: nothing was begun, and it may be asked for again. */
  | { readonly kind: "unavailable"; readonly message: string }
  /** Whoever would have seen the end died first. */
  | { readonly kind: "lost"; readonly message: string };

/** Gets what a process does, in order: `started`, then any number of `output`, then `ended`, once. */
export interface ProcessSink {
  started(pid: number): void;
  /** The bytes are the receiver's to keep. */
  output(stream: Stream, data: Buffer): void;
  /** This many bytes of its input went to the process, or will never be read. May be told later, in sums, except for the last 64 KiB. */
  inputTaken(bytes: number): void;
  /** Called when the process has ended and its output is drained (waiting a bounded time for descendants that hold it open). */
  ended(end: ProcessEnd): void;
}

export interface RunningProcess {
  write(data: Uint8Array): void;
  closeStdin(): void;
  /** Send a signal to every process of it, descendants that outlive it included. A no-op once all are gone. */
  signal(name: NodeJS.Signals): void;
  /** Read no more of its output until {@link resume}: it blocks once its pipe is full. */
  pause(): void;
  resume(): void;
  /** Who it is, for finding it after a restart; `undefined` if it has ended, or in a pid namespace that ends with the daemon's. */
  identify(): ProcessIdentity | undefined;
}

/** Starts processes: each in its own session and process group, with no file descriptor of the daemon. */
export interface Launcher {
  start(spec: ProcessSpec, sink: ProcessSink): RunningProcess;
  /** Kill what still runs and release everything. */
  close(): Promise<void>;
}
