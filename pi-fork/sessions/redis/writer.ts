import { type CommitResult, pendingAssistantFrames, type SessionStats, type Write } from "@earendil-works/pi-agent-core";
import { type Argument, callId, eventBatches, list, text } from "@serverless-harness/session/redis";
import type { LeafEvents } from "../contract/leaf-events.ts";
import { decodeStats, encodeWrites } from "./codec.ts";
import { hasNoEffect, otherWriter, type SessionKeys } from "./session-keys.ts";

/** What was acknowledged and is not written is written after this many milliseconds at the latest. */
const SHIP_AFTER_MS = 100;
/** No more is kept back than this: from then on every piece waits for those before it. */
const MAX_PIECES = 500;
const MAX_PIECE_BYTES = 1024 * 1024;
/** Events that go with one commit. */
const MAX_EVENTS = 500;

/** What a {@link Writer} may be told. */
export interface WriterOptions {
  /** Of the leaf that runs on the session: written with its commits. */
  readonly events?: LeafEvents | undefined;
  /** Tells which commits are acknowledged before they are written. Default: pieces of a streamed answer. */
  readonly isPiece?: (writes: readonly Write[]) => boolean;
}

/** Where the session stands: what the next commit gets, after everything that was acknowledged. */
interface Position {
  readonly next: number;
  readonly stats: SessionStats;
}

/**
 * Commits of a session, one after the other. An owner is its session's only writer, so commits that are but a piece of an answer are
 * acknowledged here, and written with the next real commit or a little later, in order. What could not be written is tried again by
 * whatever is asked next, which fails if that does.
 */
export class Writer {
  readonly #keys: SessionKeys;
  readonly #now: () => number;
  readonly #events: LeafEvents | undefined;
  readonly #isPiece: (writes: readonly Write[]) => boolean;
  #turn: Promise<unknown> = Promise.resolve();
  /** Unknown at first, and where a commit may have been made or not. */
  #position: Position | undefined;
  /** Acknowledged, and not known to be written; the first has the number `#from`. */
  #pieces: Argument[][] = [];
  #from = 0;
  #count = 0;
  #bytes = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(keys: SessionKeys, now: () => number, options: WriterOptions = {}) {
    this.#keys = keys;
    this.#now = now;
    this.#events = options.events;
    this.#isPiece = options.isPiece ?? isPiece;
  }

  commit(writes: readonly Write[]): Promise<CommitResult> {
    return this.inTurn(() => (this.#keys.owned && this.#isPiece(writes) ? this.#acknowledge(writes) : this.#send(writes)));
  }

  /** Write what was acknowledged, if there is any. */
  async flush(): Promise<void> {
    if (this.#count > 0) await this.inTurn(() => this.#ship());
  }

  /** Wait for every commit, and write what was acknowledged. */
  close(): Promise<void> {
    return this.inTurn(() => this.#ship());
  }

  /** Run `work` between two commits. */
  inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work);
    this.#turn = result.catch(() => undefined);
    return result;
  }

  async #acknowledge(writes: readonly Write[]): Promise<CommitResult> {
    const timestamp = this.#now();
    const piece = encodeWrites(writes, timestamp);
    if (this.#count >= MAX_PIECES || this.#bytes >= MAX_PIECE_BYTES) await this.#ship();
    const { next, stats } = await this.#locate();
    if (this.#count === 0) this.#from = next;
    this.#pieces.push(piece);
    this.#count += writes.length;
    this.#bytes += sizeOf(piece);
    this.#position = { next: next + writes.length, stats };
    this.#timer ??= setTimeout(() => void this.flush().catch(() => undefined), SHIP_AFTER_MS);
    return { firstSeq: next, seqs: writes.map((_, i) => next + i), timestamp, stats };
  }

  async #ship(): Promise<void> {
    this.#disarm();
    if (this.#count > 0) await this.#locate();
    if (this.#count > 0) await this.#send([]);
  }

  /** Write the pieces that wait, then `writes`, in one step. */
  async #send(writes: readonly Write[]): Promise<CommitResult> {
    const timestamp = this.#now();
    const encoded = encodeWrites(writes, timestamp);
    if (this.#count > 0) await this.#locate();
    this.#disarm();
    const pieces = this.#count;
    const from = pieces === 0 ? "" : this.#from;
    const batch = this.#events?.take(MAX_EVENTS);
    const [events = [0]] = eventBatches(batch?.events ?? []);
    const args = [callId(), timestamp, from, this.#events?.leafId ?? "", ...events, ...this.#pieces.flat(), ...encoded];
    try {
      const [first, stats] = list(await this.#keys.commit(...args));
      batch?.written();
      this.#forget();
      const firstSeq = Number(text(first)) + pieces;
      this.#position = { next: firstSeq + writes.length, stats: decodeStats(stats) };
      return { firstSeq, seqs: writes.map((_, i) => firstSeq + i), timestamp, stats: this.#position.stats };
    } catch (error) {
      const unsure = !hasNoEffect(error);
      if (unsure) this.#position = undefined;
      batch?.failed(error, unsure);
      throw error;
    }
  }

  /** Where the session stands; asked for if that is not known, which also tells whether a commit in doubt was made. */
  async #locate(): Promise<Position> {
    if (this.#position !== undefined) return this.#position;
    const [stats, next] = list(await this.#keys.write("position"));
    const found = { next: Number(text(next)), stats: decodeStats(stats) };
    const behind = this.#from + this.#count;
    if (this.#count > 0 && found.next === this.#from) this.#position = { ...found, next: behind };
    else if (this.#count > 0 && found.next < behind) throw otherWriter();
    else {
      this.#forget();
      this.#position = found;
    }
    return this.#position;
  }

  #forget(): void {
    this.#pieces = [];
    this.#count = 0;
    this.#bytes = 0;
  }

  #disarm(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}

function sizeOf(args: readonly Argument[]): number {
  return args.reduce<number>((sum, each) => sum + (typeof each === "string" ? each.length : 0), 0);
}

const FRAMES = pendingAssistantFrames("", "").namespace;

/**
 * A commit that does nothing but add a piece to an answer that is being streamed. It is read by nobody but the one who takes over from an
 * owner that died in the middle of the answer, to note what was said; the whole answer is committed when it ends.
 */
export function isPiece(writes: readonly Write[]): boolean {
  const [write, ...others] = writes;
  return others.length === 0 && write?.kind === "list" && write.op === "append" && write.namespace === FRAMES;
}
