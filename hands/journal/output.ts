import type { Stream } from "@serverless-harness/proto/hands";
import { countNewlines, cutChunks, firstChunkAt, totalBytes } from "./chunks.ts";
import type { InlineOutput } from "./record.ts";
import type { Chunk } from "./runs.ts";
import { Segment } from "./segment.ts";

/** Written bytes that stay in memory, so that readers who keep up never touch the disk. */
const TAIL_BYTES = 1280 * 1024;
/** How long output may wait to be written, in milliseconds: what a killed daemon can lose at most. */
const FLUSH_DELAY_MS = 10;
/** Output that goes into its exec's record if the exec ends before it was written anywhere. */
const INLINE_BYTES = 4096;
/** Output that is written without waiting for more. */
const FLUSH_BYTES = 256 * 1024;
/** Parts that the kept output is in: the oldest is dropped as a whole. */
const SEGMENTS = 16;

/** Where one exec's output goes, and how much of it is kept. */
export interface OutputOptions {
  readonly directory: string;
  readonly id: string;
  /** The oldest bytes are dropped beyond this. */
  readonly maxBytes: number;
}

/**
 * The output of one exec on disk, numbered by offset. Any number of readers read it at their own pace by offset; what is
 * dropped for the limit, or could not be written, lies before {@link first}.
 */
export class OutputJournal {
  readonly #options: OutputOptions;
  #segments: Segment[];
  #first: number;
  #total: number;
  #newlines: number;
  /** Everything that is not written yet, after the last of what is. */
  #tail: Chunk[] = [];
  #tailBytes = 0;
  /** Offset after the last byte on disk. */
  #written: number;
  #timer: NodeJS.Timeout | undefined;
  #flushing: Promise<void> | undefined;
  #problem = "";
  #onChange: () => void = () => undefined;

  private constructor(options: OutputOptions, segments: Segment[], end: number, newlines: number) {
    this.#options = options;
    this.#segments = segments;
    this.#first = segments[0]?.start ?? end;
    this.#written = end;
    this.#total = end;
    this.#newlines = newlines;
  }

  static create(options: OutputOptions): OutputJournal {
    return new OutputJournal(options, [], 0, 0);
  }

  /** What an earlier daemon left. `totals` are those of the exec's end, if it was seen. */
  static async restore(
    options: OutputOptions,
    found: readonly Segment[],
    totals?: { readonly bytes: number; readonly newlines: number },
    inline?: InlineOutput,
  ): Promise<OutputJournal> {
    if (inline !== undefined && totals !== undefined) {
      const journal = new OutputJournal(options, [], 0, 0);
      for (const [stream, base64] of inline) journal.#keep(stream, Buffer.from(base64, "base64"));
      if (journal.#total === totals.bytes) {
        journal.#written = journal.#total;
        return journal;
      }
    }
    const row = unbrokenRow(found, totals?.bytes);
    for (const segment of found) if (!row.includes(segment)) await segment.remove();
    return new OutputJournal(options, row, totals?.bytes ?? row.at(-1)?.end ?? 0, totals?.newlines ?? 0);
  }

  /** Offset of the oldest byte that is still there. */
  get first(): number {
    return this.#first;
  }

  /** Bytes written by the exec so far, kept or not. */
  get total(): number {
    return this.#total;
  }

  /** Newline characters among them. */
  get newlines(): number {
    return this.#newlines;
  }

  /** Bytes that wait to be written. */
  get unwritten(): number {
    return this.#total - this.#written;
  }

  get stored(): number {
    return this.#written - this.#first;
  }

  /** Why output was lost, for a human; empty if none was. */
  get problem(): string {
    return this.#problem;
  }

  /** Call `listener` whenever there is more to read or more was written. One listener: the exec. */
  onChange(listener: () => void): void {
    this.#onChange = listener;
  }

  append(stream: Stream, data: Buffer): void {
    if (data.length === 0) return;
    this.#keep(stream, data);
    if (this.#flushing === undefined) {
      if (this.unwritten >= FLUSH_BYTES) this.#startFlush();
      else this.#timer ??= setTimeout(() => this.#startFlush(), FLUSH_DELAY_MS);
    }
    this.#onChange();
  }

  /**
   * Up to `maxBytes` from `offset` on, from memory if possible. Empty at the end. A first chunk after `offset` tells that what lies
   * between is gone.
   */
  read(offset: number, maxBytes: number): Chunk[] | Promise<Chunk[]> {
    const from = Math.max(offset, this.#first);
    if (from >= this.#total) return [];
    const inMemory = this.#tail[0]?.offset ?? this.#total;
    if (from >= inMemory) return cutChunks(this.#tail, from, maxBytes);
    const segment = this.#segments.findLast((candidate) => candidate.start <= from);
    if (segment === undefined) return [];
    return segment.read(from, maxBytes).catch(async (error: NodeJS.ErrnoException) => {
      // The segment was dropped meanwhile: continue where there is something.
      if (this.#first > from) return this.read(offset, maxBytes);
      this.#lose(segment.end, error);
      return this.read(offset, maxBytes);
    });
  }

  /**
   * The exec writes no more: put everything on disk and let go of memory and files. What is returned is to be put into the exec's record
   * instead, and stays in memory.
   */
  async finish(): Promise<InlineOutput | undefined> {
    if (this.#total <= INLINE_BYTES && this.#flushing === undefined && this.#segments.length === 0) {
      clearTimeout(this.#timer);
      this.#written = this.#total;
      return this.#tail.map(({ stream, data }) => [stream, data.toString("base64")]);
    }
    while (this.unwritten > 0 || this.#flushing !== undefined) {
      this.#startFlush();
      await this.#flushing;
    }
    clearTimeout(this.#timer);
    await this.#segments.at(-1)?.seal();
    this.#tail = [];
    this.#tailBytes = 0;
    return undefined;
  }

  /** Drop all output of an exec that has ended, as for space. */
  async discard(): Promise<void> {
    this.#tail = [];
    this.#tailBytes = 0;
    const segments = this.#segments;
    this.#segments = [];
    this.#first = this.#written;
    for (const segment of segments) await segment.remove();
  }

  #keep(stream: Stream, data: Buffer): void {
    this.#tail.push({ offset: this.#total, stream, data });
    this.#tailBytes += data.length;
    this.#total += data.length;
    this.#newlines += countNewlines(data);
  }

  #startFlush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#flushing ??= this.#flush().finally(() => {
      this.#flushing = undefined;
      this.#onChange();
    });
  }

  async #flush(): Promise<void> {
    while (this.unwritten > 0) {
      const batch = this.#nextBatch();
      const end = this.#written + totalBytes(batch);
      try {
        const segment = await this.#segmentFor(this.#written);
        await segment.append(batch);
        this.#written = end;
        await this.#trim();
      } catch (error) {
        this.#lose(end, error as NodeJS.ErrnoException);
      }
      this.#trimTail();
      this.#onChange();
    }
  }

  /** What is written next: no more than a segment holds, so that little is dropped at a time. */
  #nextBatch(): Chunk[] {
    const waiting = this.#tail.slice(firstChunkAt(this.#tail, this.#written));
    let room = this.#segmentBytes;
    const last = waiting.findIndex((chunk) => {
      room -= chunk.data.length;
      return room <= 0;
    });
    return last === -1 ? waiting : waiting.slice(0, last + 1);
  }

  get #segmentBytes(): number {
    return this.#options.maxBytes / SEGMENTS;
  }

  async #segmentFor(offset: number): Promise<Segment> {
    const last = this.#segments.at(-1);
    if (last !== undefined && !last.isFull(this.#segmentBytes)) return last;
    await last?.seal();
    const segment = Segment.create(this.#options.directory, this.#options.id, offset);
    this.#segments.push(segment);
    return segment;
  }

  async #trim(): Promise<void> {
    while (this.#segments.length > 1 && this.stored > this.#options.maxBytes) {
      const dropped = this.#segments.shift();
      this.#first = this.#segments[0]?.start ?? this.#written;
      await dropped?.remove();
    }
  }

  /** Bytes up to `end` can't be had. What is before them goes as well: offsets stay in one unbroken row, and the space is needed. */
  #lose(end: number, error: NodeJS.ErrnoException): void {
    this.#problem = `output before byte ${end} could not be kept (${error.code ?? error.message})`;
    const lost = this.#segments.filter((segment) => segment.start < end);
    this.#segments = this.#segments.filter((segment) => segment.start >= end);
    this.#first = Math.max(this.#first, end);
    this.#written = Math.max(this.#written, end);
    for (const segment of lost) void segment.remove();
  }

  #trimTail(): void {
    let drop = 0;
    for (const chunk of this.#tail) {
      if (this.#tailBytes <= TAIL_BYTES || chunk.offset + chunk.data.length > this.#written) break;
      this.#tailBytes -= chunk.data.length;
      drop++;
    }
    if (drop > 0) this.#tail.splice(0, drop);
  }
}

/** The last segments that follow on one another without a hole, and reach to `end` if it is known: only those can be read by offset. */
function unbrokenRow(found: readonly Segment[], end: number | undefined): Segment[] {
  if (end !== undefined && found.at(-1)?.end !== end) return [];
  const breaks = found.map((segment, i) => i > 0 && found[i - 1]?.end !== segment.start);
  return found.slice(Math.max(0, breaks.lastIndexOf(true)));
}
