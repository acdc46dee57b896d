import { type Context, type ExecutionEnv, err, FileError, ok } from "@earendil-works/pi-agent-core";
import { type FileInfo, FileKind } from "@serverless-harness/proto/hands";

type LineReader = Extract<Awaited<ReturnType<ExecutionEnv["openTextLineReader"]>>, { ok: true }>["value"];
type Line = Awaited<ReturnType<LineReader["readLine"]>>;

const CHUNK_BYTES = 256 * 1024;

/** Reads a range of the file; rejects with {@link FileError}. */
export type RangeReader = (offset: number, length: number, etag: string) => Promise<Uint8Array>;

/** Reads a file line by line, in pieces, all of the same version of it. */
export class HandsLineReader implements LineReader {
  readonly #file: FileInfo;
  readonly #path: string;
  readonly #read: RangeReader;
  readonly #decoder = new TextDecoder();
  #offset = 0;
  #buffered = "";
  #ended = false;
  #closed = false;

  /** `file` is the file as it is now; a directory is refused here, as reading it would be. */
  constructor(file: FileInfo, path: string, read: RangeReader) {
    if (file.kind === FileKind.DIRECTORY) throw new FileError("is_directory", `${path} is a directory`, path);
    this.#file = file;
    this.#path = path;
    this.#read = read;
  }

  async readLine(context: Context): Promise<Line> {
    if (this.#closed) return err(new FileError("invalid", "Text line reader is closed", this.#path));
    for (;;) {
      if (context.abortSignal?.aborted) return err(new FileError("aborted", "aborted", this.#path));
      const line = this.#take();
      if (line !== undefined || this.#ended) return ok(line);
      try {
        await this.#fill();
      } catch (error) {
        return err(error instanceof FileError ? error : new FileError("unknown", String(error), this.#path));
      }
    }
  }

  close(): Promise<void> {
    this.#closed = true;
    this.#buffered = "";
    return Promise.resolve();
  }

  #take(): { text: string; terminated: boolean } | undefined {
    const newline = this.#buffered.indexOf("\n");
    if (newline !== -1) {
      const text = this.#buffered.slice(0, newline);
      this.#buffered = this.#buffered.slice(newline + 1);
      return { text, terminated: true };
    }
    if (!this.#ended || this.#buffered === "") return undefined;
    const text = this.#buffered;
    this.#buffered = "";
    return { text, terminated: false };
  }

  async #fill(): Promise<void> {
    const left = Number(this.#file.size) - this.#offset;
    const bytes = left > 0 ? await this.#read(this.#offset, Math.min(CHUNK_BYTES, left), this.#file.etag) : new Uint8Array();
    this.#offset += bytes.length;
    this.#ended = bytes.length === 0;
    this.#buffered += this.#decoder.decode(bytes, { stream: !this.#ended });
  }
}
