import { type ChildProcessByStdio, spawn } from "node:child_process";
import { constants } from "node:os";
import type { Readable, Writable } from "node:stream";
import { Stream } from "@serverless-harness/proto/hands";
import type { Launcher, ProcessEnd, ProcessSink, ProcessSpec, RunningProcess } from "../launch/launcher.ts";
import { Event, FrameReader, frame, Request, startPayload } from "./frames.ts";

type Keeper = ChildProcessByStdio<Writable, Readable, null>;

/** Where `build.sh` puts the programs. */
export interface KeeperFiles {
  readonly keeper: string;
  readonly zygote: string;
  /** A program and its arguments that the keeper is run by, as to put it into a control group. */
  readonly before?: readonly string[];
  /** Further arguments, for a program that stands in the keeper's place. */
  readonly arguments?: readonly string[];
}

const SIGNAL_NAMES = new Map(Object.entries(constants.signals).map(([name, number]) => [number, name as NodeJS.Signals]));

/**
 * Starts processes through the keeper, a small fork server. A keeper that dies takes its processes with it: they end as `lost`, and
 * the next start brings up another.
 */
export class KeeperLauncher implements Launcher {
  readonly #files: KeeperFiles;
  #keeper: Keeper | undefined;
  #sinks = new Map<number, ProcessSink>();
  #nextId = 1;
  #closed = false;

  constructor(files: KeeperFiles) {
    this.#files = files;
    this.#keeper = this.#bringUp();
  }

  start(spec: ProcessSpec, sink: ProcessSink): RunningProcess {
    const keeper = this.#keeper ?? this.#bringUp();
    this.#keeper = keeper;
    const id = this.#nextId;
    this.#nextId = id === 0xffff_ffff ? 1 : id + 1;
    this.#sinks.set(id, sink);
    const shell = "shell" in spec.command;
    const args = "shell" in spec.command ? [spec.command.shell] : spec.command.argv;
    const ask = (type: number, payload?: Uint8Array): void => {
      // Behind its end, or behind its keeper's, there is nothing to ask for.
      if (this.#sinks.get(id) === sink && this.#keeper === keeper) keeper.stdin.write(frame(type, id, payload));
    };
    ask(Request.START, startPayload({ shell, args, stdin: spec.stdin, cwd: spec.cwd, env: spec.env }));
    return {
      write: (data) => ask(Request.STDIN, data),
      closeStdin: () => ask(Request.CLOSE_STDIN),
      signal: (name) => ask(Request.SIGNAL, u32(constants.signals[name])),
      pause: () => ask(Request.PAUSE),
      resume: () => ask(Request.RESUME),
    };
  }

  async close(): Promise<void> {
    this.#closed = true;
    const keeper = this.#keeper;
    if (keeper === undefined || keeper.exitCode !== null || keeper.signalCode !== null) return;
    const gone = new Promise((resolve) => keeper.once("exit", resolve));
    keeper.stdin.end();
    await gone;
  }

  #bringUp(): Keeper {
    const { before = [], keeper: program, zygote } = this.#files;
    const [first = program, ...rest] = [...before, program, zygote, ...(this.#files.arguments ?? [])];
    const keeper: Keeper = spawn(first, rest, {
      stdio: ["pipe", "pipe", "inherit"],
      env: {},
      cwd: "/",
    });
    const reader = new FrameReader((type, id, payload) => this.#deliver(type, id, payload));
    keeper.stdout.on("data", (chunk: Buffer) => reader.push(chunk));
    // A keeper that is gone is told by its exit; its pipes have nothing to add.
    keeper.stdin.on("error", () => undefined);
    const gone = (message: string): void => {
      if (this.#keeper !== keeper) return;
      this.#keeper = undefined;
      const sinks = this.#sinks;
      this.#sinks = new Map();
      for (const sink of sinks.values()) sink.ended({ kind: "lost", message });
    };
    keeper.once("error", (error) => gone(`the fork server can't be started: ${error.message}`));
    // `close` comes behind the last byte of what it told.
    keeper.once("close", (code, signal) => gone(this.#closed ? "hands stopped" : `the fork server ended (${signal ?? code})`));
    return keeper;
  }

  #deliver(type: number, id: number, payload: Buffer): void {
    const sink = this.#sinks.get(id);
    if (sink === undefined) return;
    if (type === Event.STARTED) sink.started(payload.readUInt32LE(0));
    else if (type === Event.STDOUT) sink.output(Stream.STDOUT, payload);
    else if (type === Event.STDERR) sink.output(Stream.STDERR, payload);
    else if (type === Event.INPUT_TAKEN) sink.inputTaken(payload.readUInt32LE(0));
    else {
      this.#sinks.delete(id);
      sink.ended(type === Event.FAILED ? { kind: "start_failed", message: payload.toString() } : readEnd(payload));
    }
  }
}

function readEnd(payload: Buffer): ProcessEnd {
  const value = payload.readUInt32LE(1);
  if (payload[0] === 0) return { kind: "exit", code: value };
  return { kind: "signal", signal: SIGNAL_NAMES.get(value) ?? "SIGKILL" };
}

function u32(value: number): Buffer {
  const buffer = Buffer.allocUnsafe(4);
  buffer.writeUInt32LE(value);
  return buffer;
}
