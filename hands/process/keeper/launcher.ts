import { constants } from "node:os";
import type { Logger } from "@serverless-harness/kit/log";
import type { Launcher, ProcessSink, ProcessSpec, RunningProcess } from "../launcher.ts";
import { ForkServer } from "./fork-server.ts";
import { Request, startPayload } from "./frames.ts";

/** Where `build.sh` puts the programs. */
export interface KeeperFiles {
  readonly keeper: string;
  readonly zygote: string;
  /** A program and its arguments that the keeper is run by, as to put it into a control group. */
  readonly before?: readonly string[];
  /** Further arguments, for a program that stands in the keeper's place. */
  readonly arguments?: readonly string[];
}

/** What a {@link KeeperLauncher} may be told. */
export interface KeeperOptions {
  readonly log?: Logger;
  /** How long the fork server may take to answer, in milliseconds, before it is killed. Default 30 s. */
  readonly patienceMs?: number;
}

const PATIENCE_MS = 30_000;

/**
 * Starts processes through the keeper, a small fork server. A keeper that dies takes its processes with it: they end as `lost`, and
 * the next start brings up another. One that can't be started ends them as `unavailable`.
 */
export class KeeperLauncher implements Launcher {
  readonly #files: KeeperFiles;
  readonly #options: KeeperOptions;
  #server: ForkServer;
  #nextId = 1;

  constructor(files: KeeperFiles, options: KeeperOptions = {}) {
    this.#files = files;
    this.#options = options;
    this.#server = this.#bringUp();
  }

  /** The process that all that it starts is below; `undefined` if there is none. */
  get pid(): number | undefined {
    return this.#server.pid;
  }

  /** Something that it started lives, if only in the background. */
  get isBusy(): boolean {
    return this.#server.isBusy;
  }

  start(spec: ProcessSpec, sink: ProcessSink): RunningProcess {
    if (this.#server.isOver) this.#server = this.#bringUp();
    const server = this.#server;
    const id = this.#nextId;
    this.#nextId = id === 0xffff_ffff ? 1 : id + 1;
    const shell = "shell" in spec.command;
    const args = "shell" in spec.command ? [spec.command.shell] : spec.command.argv;
    const payload = startPayload({ shell, args, stdin: spec.stdin, cwd: spec.cwd, env: spec.env });
    const told = server.start(id, spec.workspace.name, sink, payload);
    const ask = (type: number, more?: Uint8Array): void => server.ask(type, id, told, more);
    return {
      write: (data) => ask(Request.STDIN, data),
      closeStdin: () => ask(Request.CLOSE_STDIN),
      signal: (name) => ask(Request.SIGNAL, u32(constants.signals[name])),
      pause: () => ask(Request.PAUSE),
      resume: () => ask(Request.RESUME),
      identify: () => server.identify(told),
    };
  }

  /** Kill what ended processes of a workspace left in the background. Resolves when it is gone. */
  async killRest(workspace: string): Promise<void> {
    await this.#server.killRest(workspace, u32(constants.signals.SIGKILL));
  }

  close(): Promise<void> {
    return this.#server.close();
  }

  #bringUp(): ForkServer {
    const { before = [], keeper: program, zygote } = this.#files;
    const [first = program, ...rest] = [...before, program, zygote, ...(this.#files.arguments ?? [])];
    const { log, patienceMs = PATIENCE_MS } = this.#options;
    return new ForkServer({ argv: [first, ...rest], patienceMs, log });
  }
}

function u32(value: number): Buffer {
  const buffer = Buffer.allocUnsafe(4);
  buffer.writeUInt32LE(value);
  return buffer;
}
