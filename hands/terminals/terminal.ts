import { createHash } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";
import { Code } from "@connectrpc/connect";
import { HarnessError } from "@serverless-harness/kit/errors";
import type { Pty, PtyLauncher, PtySpec } from "./pty.ts";
import { OutputRing } from "./ring.ts";
import type { Screen, ScreenView } from "./screen.ts";

/** Bytes of output that a terminal keeps for those who attach later. */
export const SCROLLBACK_BYTES = 1024 * 1024;
/** Largest piece that a watcher gets at once. */
const CHUNK_BYTES = 64 * 1024;
/** How long a closed terminal's processes may take to end by themselves. */
const CLOSE_GRACE_MS = 1000;
/** How long the kernel may take to remove what was killed of a closed terminal. */
const KILL_MS = 5000;
/** How long a confirmation of input waits for others, in milliseconds, and for how many: no echo of a key waits for one. */
const CONFIRM_MS = 100;
const CONFIRM_INPUTS = 32;
/** Ids of input that are remembered, so that a repeated one is not typed twice. */
const INPUT_IDS = 1000;

/** How a terminal's program ended. */
export interface TerminalEnd {
  readonly exitCode: number;
  readonly signal: NodeJS.Signals | undefined;
  readonly endedAtMs: number;
}

/** What a watcher gets, in order. */
export type TerminalUpdate =
  | { readonly kind: "output"; readonly offset: number; readonly data: Buffer }
  | { readonly kind: "gap"; readonly from: number; readonly to: number }
  | { readonly kind: "resized"; readonly columns: number; readonly rows: number }
  | { readonly kind: "taken"; readonly inputId: string }
  | { readonly kind: "ended"; readonly end: TerminalEnd };

/** What one watcher has to be told of its own input. */
export interface Confirmation {
  /** Id of the last input that was taken. Empty: none. */
  inputId: string;
  /** Inputs that were taken and not told. */
  untold: number;
  /** Runs while it waits for others. */
  timer?: NodeJS.Timeout;
}

/**
 * A program on a PTY, its last output and those who watch it. Watchers are cursors over the kept output: they cost nothing while they
 * lag, and one that lags too far skips ahead, with a gap, instead of holding the program up.
 */
export class Terminal {
  readonly id: string;
  readonly workspace: string;
  readonly spec: PtySpec;
  readonly startedAtMs = Date.now();
  /** Resolves once {@link pid} is known. */
  readonly started: Promise<void>;
  readonly #pty: Pty;
  readonly #output = new OutputRing(SCROLLBACK_BYTES);
  readonly #wakers = new Set<() => void>();
  /** What each of the newest ids stands for. */
  readonly #inputs = new Map<string, string>();
  readonly #ended = Promise.withResolvers<TerminalEnd>();
  #screen: Screen | undefined;
  #end: TerminalEnd | undefined;
  #size: { columns: number; rows: number };
  #pid = 0;
  #isGone = false;

  constructor(id: string, workspace: string, spec: PtySpec, launch: PtyLauncher) {
    this.id = id;
    this.workspace = workspace;
    this.spec = spec;
    this.#size = { columns: spec.columns, rows: spec.rows };
    this.#pty = launch(spec, {
      output: (data) => {
        this.#output.push(data);
        this.#screen?.write(data);
        this.#wake();
      },
      ended: (end) => {
        this.#end = { ...end, endedAtMs: Date.now() };
        this.#ended.resolve(this.#end);
        this.#wake();
      },
    });
    this.started = this.#pty.pid.then((pid) => {
      this.#pid = pid;
    });
    void this.#pty.gone.then(() => {
      this.#isGone = true;
    });
  }

  /** Process id of its program; 0 if it is not started yet, or could not be. */
  get pid(): number {
    return this.#pid;
  }

  get size(): { readonly columns: number; readonly rows: number } {
    return this.#size;
  }

  get end(): TerminalEnd | undefined {
    return this.#end;
  }

  /** The program has ended, and nothing that it started is left. */
  get isGone(): boolean {
    return this.#isGone && this.#end !== undefined;
  }

  /** Resolves when the program has ended. */
  get ended(): Promise<TerminalEnd> {
    return this.#ended.promise;
  }

  get watchers(): number {
    return this.#wakers.size;
  }

  /** Bytes of output in all, and the first one that is kept. */
  get offsets(): { readonly total: number; readonly first: number } {
    return { total: this.#output.total, first: this.#output.first };
  }

  /** Type. With an id, once only. Returns whether this input was taken before. ALREADY_EXISTS `id_reused` if the id stands for another. */
  write(data: Uint8Array, inputId = ""): boolean {
    if (this.#isTaken(inputId, data)) return true;
    this.#pty.write(data);
    return false;
  }

  /** Change the window's size; with an id, once only. */
  resize(columns: number, rows: number, inputId = ""): void {
    if (this.#isTaken(inputId, `${columns}x${rows}`) || (columns === this.#size.columns && rows === this.#size.rows)) return;
    this.#size = { columns, rows };
    this.#pty.resize(columns, rows);
    this.#screen?.resize(columns, rows);
    this.#wake();
  }

  /** What the window shows now. The first call replays what is kept. */
  async screen(scrollbackLines: number): Promise<ScreenView> {
    // Loaded when it is first needed: the emulator is large, and most terminals are only watched.
    const emulator = await import("./screen.ts");
    if (this.#screen === undefined) {
      this.#screen = new emulator.Screen(this.#size.columns, this.#size.rows);
      this.#screen.write(this.#output.snapshot());
    }
    return await this.#screen.view(scrollbackLines);
  }

  /** Have a watcher told that its input was taken. */
  confirm(confirmation: Confirmation, inputId: string): void {
    confirmation.inputId = inputId;
    confirmation.untold++;
    const tell = (): void => {
      clearTimeout(confirmation.timer);
      delete confirmation.timer;
      this.#wake();
    };
    if (confirmation.untold >= CONFIRM_INPUTS) tell();
    else confirmation.timer ??= setTimeout(tell, CONFIRM_MS);
  }

  /** Everything kept from `fromOffset` on, then live, to the end or until `signal` aborts; and what `confirmation` comes to hold. */
  async *watch(
    fromOffset: number,
    signal: AbortSignal,
    confirmation: Confirmation = { inputId: "", untold: 0 },
  ): AsyncGenerator<TerminalUpdate> {
    let confirmed = "";
    let offset = Math.min(fromOffset, this.#output.total);
    let size = this.#size;
    let waiting: (() => void) | undefined;
    const wake = (): void => waiting?.();
    this.#wakers.add(wake);
    signal.addEventListener("abort", wake);
    try {
      while (!signal.aborted) {
        if (size !== this.#size) {
          size = this.#size;
          yield { kind: "resized", ...size };
        } else if (offset < this.#output.first) {
          yield { kind: "gap", from: offset, to: this.#output.first };
          offset = this.#output.first;
        } else if (offset < this.#output.total) {
          const data = this.#output.read(offset, CHUNK_BYTES);
          yield { kind: "output", offset, data };
          offset += data.length;
        } else if (confirmed !== confirmation.inputId && confirmation.timer === undefined) {
          confirmed = confirmation.inputId;
          confirmation.untold = 0;
          yield { kind: "taken", inputId: confirmed };
        } else if (this.#end !== undefined) {
          yield { kind: "ended", end: this.#end };
          return;
        } else {
          const { promise, resolve } = Promise.withResolvers<void>();
          waiting = resolve;
          await promise;
        }
      }
    } finally {
      clearTimeout(confirmation.timer);
      this.#wakers.delete(wake);
      signal.removeEventListener("abort", wake);
    }
  }

  /** Hang up, then kill what is left. Resolves when the program has ended. */
  async close(): Promise<void> {
    this.#pty.signal("SIGHUP");
    // A shell that waits for its foreground child acts on the hang-up only after it; stopped jobs need to go on to end.
    this.#pty.signal("SIGCONT");
    const grace = setTimeout(() => this.#pty.signal("SIGKILL"), CLOSE_GRACE_MS);
    await this.#ended.promise;
    clearTimeout(grace);
    this.#pty.signal("SIGKILL");
    await Promise.race([this.#pty.gone, pause(KILL_MS, undefined, { ref: false })]);
    this.#screen?.dispose();
  }

  /** Whether an input was taken before; from now on it was. */
  #isTaken(inputId: string, input: Uint8Array | string): boolean {
    if (inputId === "") return false;
    const kind = typeof input === "string" ? "size" : "data";
    const fingerprint = `${kind} ${createHash("sha256").update(input).digest("base64")}`;
    const known = this.#inputs.get(inputId);
    if (known === fingerprint) return true;
    if (known !== undefined) {
      const message = `the input id ${inputId} stands for another input, which was taken: give each input an id of its own`;
      throw new HarnessError(Code.AlreadyExists, "id_reused", message);
    }
    this.#inputs.set(inputId, fingerprint);
    const [oldest] = this.#inputs.keys();
    if (this.#inputs.size > INPUT_IDS && oldest !== undefined) this.#inputs.delete(oldest);
    return false;
  }

  #wake(): void {
    for (const wake of this.#wakers) wake();
  }
}
