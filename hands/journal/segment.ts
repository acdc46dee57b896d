import { type FileHandle, open, readdir, readFile, stat, unlink } from "node:fs/promises";
import { join } from "node:path";
import { totalBytes } from "./chunks.ts";
import { type Chunk, Runs } from "./runs.ts";

/** Runs in one segment; a command that changes streams at every byte must not make the index larger than the output. */
const MAX_RUNS = 16_384;

/** Part of an exec's output: a file of plain bytes in order of arrival, and an index of which of them were stderr. */
export class Segment {
  /** Offset of its first byte in the exec's output. */
  readonly start: number;
  readonly #path: string;
  #runs: Runs | undefined;
  #length: number;
  #out: FileHandle | undefined;
  #index: FileHandle | undefined;

  private constructor(path: string, start: number, runs: Runs | undefined, length: number) {
    this.#path = path;
    this.start = start;
    this.#runs = runs;
    this.#length = length;
  }

  /** A new one; its files are made at the first write. */
  static create(directory: string, id: string, start: number): Segment {
    return new Segment(join(directory, `${id}.${start}`), start, new Runs(), 0);
  }

  /** The segments of every exec that has some in `directory`, in order. */
  static async findAll(directory: string): Promise<Map<string, Segment[]>> {
    const found = new Map<string, Segment[]>();
    for (const name of await readdir(directory)) {
      const [, id, start] = /^(.+)\.(\d+)\.out$/s.exec(name) ?? [];
      if (id === undefined) continue;
      const path = join(directory, `${id}.${start}`);
      const { size } = await stat(`${path}.out`);
      found.set(id, [...(found.get(id) ?? []), new Segment(path, Number(start), undefined, size)]);
    }
    for (const segments of found.values()) segments.sort((a, b) => a.start - b.start);
    return found;
  }

  /** Bytes written to its file. */
  get length(): number {
    return this.#length;
  }

  /** Offset after its last byte. */
  get end(): number {
    return this.start + this.#length;
  }

  /** Write no more into it. */
  isFull(maxBytes: number): boolean {
    return this.#length >= maxBytes || (this.#runs?.closed ?? MAX_RUNS) >= MAX_RUNS;
  }

  /** Append chunks. The index goes first, so that a crash between the two leaves no byte in the wrong stream. */
  async append(chunks: readonly Chunk[]): Promise<void> {
    const index = this.#take(chunks);
    if (index.length > 0) {
      this.#index ??= await open(`${this.#path}.idx`, "a", 0o600);
      await this.#index.writeFile(index);
    }
    this.#out ??= await open(`${this.#path}.out`, "a", 0o600);
    const bytes = totalBytes(chunks);
    const { bytesWritten } = await this.#out.writev(chunks.map((chunk) => chunk.data));
    // A short write is how a disk that just filled up shows itself.
    if (bytesWritten !== bytes) throw Object.assign(new Error("short write"), { code: "ENOSPC" });
    this.#length += bytes;
  }

  /** Up to `maxBytes` from `offset` on. */
  async read(offset: number, maxBytes: number): Promise<Chunk[]> {
    const length = Math.min(maxBytes, this.end - offset);
    const file = await open(`${this.#path}.out`, "r");
    try {
      const { buffer, bytesRead } = await file.read(Buffer.allocUnsafeSlow(length), 0, length, offset - this.start);
      if (bytesRead < length) throw Object.assign(new Error("the output file is shorter than it was"), { code: "EIO" });
      const runs = this.#runs ?? Runs.decode(await readFile(`${this.#path}.idx`).catch(emptyWhereMissing), this.#length);
      return runs.cut(buffer, offset - this.start, offset);
    } finally {
      await file.close();
    }
  }

  /** Nothing more will be written: let go of files and memory. */
  async seal(): Promise<void> {
    this.#runs = undefined;
    const files = [this.#out, this.#index];
    this.#out = undefined;
    this.#index = undefined;
    for (const file of files) await file?.close();
  }

  async remove(): Promise<void> {
    await this.seal().catch(() => undefined);
    for (const suffix of ["out", "idx"]) await unlink(`${this.#path}.${suffix}`).catch(() => undefined);
  }

  #take(chunks: readonly Chunk[]): Buffer {
    const runs = this.#runs;
    if (runs === undefined) throw new Error("a sealed segment takes no output");
    return Buffer.concat(chunks.flatMap((chunk) => runs.add(chunk.stream, chunk.data.length) ?? []));
  }
}

function emptyWhereMissing(error: NodeJS.ErrnoException): Buffer {
  if (error.code === "ENOENT") return Buffer.alloc(0);
  throw error;
}
