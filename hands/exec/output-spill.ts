import { type FileHandle, mkdir, open, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { totalBytes } from "../journal/chunks.ts";
import type { CaptureRecord } from "../journal/record.ts";
import type { Exec, Reader } from "./exec.ts";
import { exceedsCapture } from "./output-capture.ts";

const COPY_BYTES = 1024 * 1024;

/** Where whole outputs are kept that no reader gets in full: below the workspaces, so commands and FileService both see them. */
export function spillDirectory(config: { readonly workspaces: string }): string {
  return join(config.workspaces, ".spill");
}

/** Where the whole output goes, and up to which size. */
export interface SpillOptions {
  readonly path: string;
  readonly maxBytes: number;
  readonly capture: CaptureRecord;
}

/** Copies an exec's whole output into a file that commands can read. It wants every byte, so it may hold the command up. */
export class SpillWriter implements Reader {
  readonly #exec: Exec;
  readonly #options: SpillOptions;
  #file: FileHandle | undefined;
  #offset = 0;
  #copying: Promise<void> | undefined;
  #problem = "";
  #isDone = false;

  private constructor(exec: Exec, options: SpillOptions) {
    this.#exec = exec;
    this.#options = options;
  }

  /** A writer, at work from now on, if the output has outgrown the capture. */
  static startWhereExceeded(exec: Exec, options: SpillOptions): SpillWriter | undefined {
    if (!exceedsCapture(options.capture, exec.output)) return undefined;
    const writer = new SpillWriter(exec, options);
    exec.follow(writer);
    writer.wake();
    return writer;
  }

  get offset(): number {
    return this.#offset;
  }

  get lossless(): boolean {
    return !this.#isDone;
  }

  wake(): void {
    if (this.#isDone) return;
    this.#copying ??= this.#copy().finally(() => {
      this.#copying = undefined;
    });
  }

  /** Copy the rest; the exec's output is complete. Tells the file, and what is wrong with it for a human. */
  async finish(): Promise<{ path: string; problem: string }> {
    while (!this.#isDone && this.#offset < this.#exec.output.total) {
      this.wake();
      await this.#copying;
    }
    await this.#copying;
    this.#end("");
    await this.#file?.close().catch((error: NodeJS.ErrnoException) => this.#end(failureOf(error)));
    return { path: this.#file === undefined ? "" : this.#options.path, problem: this.#problem };
  }

  async #copy(): Promise<void> {
    const { output } = this.#exec;
    try {
      this.#file ??= await createFile(this.#options.path);
      while (!this.#isDone && this.#offset < output.total) {
        const room = Math.min(COPY_BYTES, this.#options.maxBytes - this.#offset);
        if (room <= 0) return this.#end(`the spill file holds the first ${this.#offset} bytes, its limit`);
        const chunks = await output.read(this.#offset, room);
        const next = chunks[0]?.offset ?? output.total;
        if (next > this.#offset)
          return this.#end(`the spill file holds the first ${this.#offset} bytes: what follows was dropped too soon`);
        await this.#file.writev(chunks.map((chunk) => chunk.data));
        this.#offset += totalBytes(chunks);
        this.#exec.progress();
      }
    } catch (error) {
      this.#end(failureOf(error as NodeJS.ErrnoException));
    }
  }

  #end(problem: string): void {
    this.#isDone = true;
    this.#problem ||= problem;
    this.#exec.unfollow(this);
  }
}

/** A new file in a directory that may have to be made; never through a link that a command left in its place. */
async function createFile(path: string): Promise<FileHandle> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  await rm(path, { force: true });
  return open(path, "wx", 0o600);
}

function failureOf(error: NodeJS.ErrnoException): string {
  return `the spill file could not be written whole (${error.code ?? error.message})`;
}
