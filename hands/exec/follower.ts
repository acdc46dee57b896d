import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type ExecEvent, ExecEventSchema, GapReason } from "@serverless-harness/proto/hands";
import type { CaptureRecord } from "../journal/record.ts";
import type { Chunk } from "../journal/runs.ts";
import { endedMessage } from "./end.ts";
import type { Exec, Reader } from "./exec.ts";
import { captureWindow, TAIL_INTERVAL_MS, type Window } from "./output-capture.ts";

/** Most bytes of one output event, and of one read from the disk. */
const MAX_PIECE_BYTES = 64 * 1024;

type EventInit = NonNullable<MessageInitShape<typeof ExecEventSchema>["event"]>;

export interface FollowOptions {
  /** First byte wanted. */
  readonly fromOffset: number;
  /** Bounds what it gets. `undefined`: every byte. */
  readonly capture: CaptureRecord | undefined;
  /** Output bytes that it may get before {@link Follower.addCredit}. Infinity: all. */
  readonly credit: number;
  /** The exec was known before. */
  readonly attached: boolean;
  /** Called when {@link Follower.poll} may have something again. */
  readonly wake: () => void;
}

/**
 * One reader of one exec: a cursor over its journal. It is asked for events ({@link poll}), so that it never holds more than one read
 * from the disk, however slow whoever asks is.
 */
export class Follower implements Reader {
  readonly #exec: Exec;
  readonly #options: FollowOptions;
  #offset: number;
  #credit: number;
  #started = false;
  #done = false;
  /** Read, but not taken yet. */
  #chunks: Chunk[] = [];
  #reading = false;
  /** What a tail's reader gets until its next turn. */
  #window: Window | undefined;
  #turnAt = 0;
  #turnTimer: NodeJS.Timeout | undefined;

  constructor(exec: Exec, options: FollowOptions) {
    this.#exec = exec;
    this.#options = options;
    this.#offset = options.fromOffset;
    this.#credit = options.credit;
    exec.follow(this);
  }

  get offset(): number {
    return this.#offset;
  }

  get lossless(): boolean {
    return this.#options.capture === undefined && !this.#done;
  }

  /** The last event was taken. */
  get done(): boolean {
    return this.#done;
  }

  wake(): void {
    this.#options.wake();
  }

  addCredit(bytes: number): void {
    this.#credit += bytes;
    this.#options.wake();
  }

  /** The next event, or `undefined` if there is none now: `wake` tells when to ask again. Throws if the exec could not be journaled. */
  poll(): ExecEvent | undefined {
    if (this.#done) return undefined;
    if (this.#exec.failure !== undefined) throw this.#exec.failure;
    if (!this.#started) return this.#takeStarted();
    const event = this.#takeOutput();
    if (event !== undefined) this.#exec.progress();
    return event;
  }

  close(): void {
    this.#done = true;
    this.#chunks = [];
    clearTimeout(this.#turnTimer);
    this.#exec.unfollow(this);
  }

  #takeStarted(): ExecEvent | undefined {
    const { pid, startedAtMs, isStarted } = this.#exec;
    if (!isStarted) return undefined;
    this.#started = true;
    const silentMs = BigInt(Math.round(this.#exec.silentMs));
    const value = { pid: BigInt(pid), startedAtMs: BigInt(startedAtMs), attached: this.#options.attached, silentMs };
    return this.#event({ case: "started", value });
  }

  #takeOutput(): ExecEvent | undefined {
    const window = this.#currentWindow();
    if (window === undefined) return undefined;
    if (window.from > this.#offset) return this.#takeGap(window.from, GapReason.CAPTURE);
    if (this.#offset >= window.to) return this.#takeEnd();
    const { first } = this.#exec.output;
    if (this.#chunks.length === 0 && first > this.#offset) return this.#takeGap(first, GapReason.TRIMMED);
    if (this.#credit <= 0) return undefined;
    if (this.#chunks.length === 0 && !this.#fill(window)) return undefined;
    const next = this.#chunks[0];
    if (next === undefined) return undefined;
    if (next.offset > this.#offset) return this.#takeGap(next.offset, GapReason.TRIMMED);
    return this.#takeChunks();
  }

  /** What may be read now; `undefined` while a tail's reader waits for its turn. */
  #currentWindow(): Window | undefined {
    const { capture } = this.#options;
    const { total } = this.#exec.output;
    if (capture === undefined) return { from: this.#offset, to: total };
    if (capture.retain === "head") return captureWindow(capture, this.#offset, total);
    if (this.#window !== undefined && this.#offset < this.#window.to) return this.#window;
    const wait = this.#turnAt - performance.now();
    if (wait > 0 && total > this.#offset && this.#exec.end === undefined) {
      this.#turnTimer ??= setTimeout(() => {
        this.#turnTimer = undefined;
        this.#options.wake();
      }, wait);
      return undefined;
    }
    this.#window = captureWindow(capture, this.#offset, total);
    if (total > this.#offset) this.#turnAt = performance.now() + TAIL_INTERVAL_MS;
    return this.#window;
  }

  /** Get chunks to take. False if they have to be read from the disk first. */
  #fill(window: Window): boolean {
    if (this.#reading) return false;
    const result = this.#exec.output.read(this.#offset, Math.min(MAX_PIECE_BYTES, window.to - this.#offset));
    if (Array.isArray(result)) {
      this.#chunks = result;
      return true;
    }
    this.#reading = true;
    void result.then((chunks) => {
      this.#reading = false;
      if (this.#done) return;
      this.#chunks = chunks;
      this.#options.wake();
    });
    return false;
  }

  /** As much as may go into one event: neighbours of the same stream, within the credit. */
  #takeChunks(): ExecEvent | undefined {
    const room = Math.min(MAX_PIECE_BYTES, this.#credit);
    const first = this.#chunks[0];
    if (first === undefined) return undefined;
    const parts: Buffer[] = [];
    let bytes = 0;
    for (let chunk = this.#chunks[0]; chunk?.stream === first.stream && bytes < room; chunk = this.#chunks[0]) {
      const data = chunk.data.subarray(0, room - bytes);
      parts.push(data);
      bytes += data.length;
      if (data.length === chunk.data.length) this.#chunks.shift();
      else this.#chunks[0] = { ...chunk, offset: chunk.offset + data.length, data: chunk.data.subarray(data.length) };
    }
    this.#offset += bytes;
    this.#credit -= bytes;
    const data = parts.length === 1 && parts[0] !== undefined ? parts[0] : Buffer.concat(parts);
    return this.#event({ case: "output", value: { offset: BigInt(first.offset), stream: first.stream, data } });
  }

  #takeGap(to: number, reason: GapReason): ExecEvent {
    const from = this.#offset;
    this.#offset = to;
    this.#chunks = [];
    return this.#event({ case: "gap", value: { fromOffset: BigInt(from), toOffset: BigInt(to), reason } });
  }

  #takeEnd(): ExecEvent | undefined {
    const { end, output } = this.#exec;
    if (end === undefined) return undefined;
    // A capture of the head leaves out the rest.
    if (this.#offset < output.total) return this.#takeGap(output.total, GapReason.CAPTURE);
    this.close();
    return this.#event({ case: "ended", value: endedMessage(end) });
  }

  #event(event: EventInit): ExecEvent {
    return create(ExecEventSchema, { execId: this.#exec.id, event });
  }
}
