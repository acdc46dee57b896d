import type { HarnessError } from "@serverless-harness/kit/errors";
import type { OutputJournal } from "../journal/output.ts";
import type { EndRecord, Intent } from "../journal/record.ts";

/** Whoever reads an exec's output. */
export interface Reader {
  /** First byte not taken yet. */
  readonly offset: number;
  /** It wants every byte, so the command must not run away from it. */
  readonly lossless: boolean;
  /** The exec has news. */
  wake(): void;
}

/** One exec, running or ended: what is known of it, its output and who reads it. */
export class Exec {
  readonly intent: Intent;
  readonly workspace: string;
  readonly output: OutputJournal;
  readonly #readers = new Set<Reader>();
  readonly #settled = Promise.withResolvers<void>();
  /** When it wrote last, or was begun, by `performance.now()`. */
  #wroteAt = performance.now();
  #pid = 0;
  #started = false;
  #end: EndRecord | undefined;
  #failure: HarnessError | undefined;
  #onProgress: () => void = () => undefined;

  constructor(workspace: string, intent: Intent, output: OutputJournal, end?: EndRecord) {
    this.workspace = workspace;
    this.intent = intent;
    this.output = output;
    output.onChange(() => {
      this.#onProgress();
      this.#wakeReaders();
    });
    if (end !== undefined) this.markEnded(end);
  }

  get id(): string {
    return this.intent.id;
  }

  get startedAtMs(): number {
    return this.intent.startedAtMs;
  }

  /** Process id; 0 if no process runs. */
  get pid(): number {
    return this.#end === undefined ? this.#pid : 0;
  }

  /** It runs, or has ended: no longer about to be started. */
  get isStarted(): boolean {
    return this.#started;
  }

  /** How long it has written nothing, in milliseconds. 0 if no process runs. */
  get silentMs(): number {
    return this.pid === 0 ? 0 : performance.now() - this.#wroteAt;
  }

  /** How it ended; `undefined` while it runs. */
  get end(): EndRecord | undefined {
    return this.#end;
  }

  /** Why it was not started: it could not be journaled. */
  get failure(): HarnessError | undefined {
    return this.#failure;
  }

  /** Resolves when it has ended, or failed to become one. */
  get settled(): Promise<void> {
    return this.#settled.promise;
  }

  /** Somebody reads it. */
  get isFollowed(): boolean {
    return this.#readers.size > 0;
  }

  /** How far the slowest reader that wants every byte is behind, in bytes. 0 if there is none. */
  get lagBytes(): number {
    let lag = 0;
    for (const reader of this.#readers) if (reader.lossless) lag = Math.max(lag, this.output.total - reader.offset);
    return lag;
  }

  /** Call `listener` whenever output was added or written, or a reader took some. */
  onProgress(listener: () => void): void {
    this.#onProgress = listener;
  }

  /** A reader took something. */
  progress(): void {
    this.#onProgress();
  }

  follow(reader: Reader): void {
    this.#readers.add(reader);
  }

  unfollow(reader: Reader): void {
    if (this.#readers.delete(reader)) this.#onProgress();
  }

  /** It wrote something. Returns for how long it had not, in milliseconds. */
  markWrote(): number {
    const before = this.#wroteAt;
    this.#wroteAt = performance.now();
    return this.#wroteAt - before;
  }

  markStarted(pid: number): void {
    this.markWrote();
    this.#pid = pid;
    this.#started = true;
    this.#wakeReaders();
  }

  markEnded(end: EndRecord): void {
    this.#end = end;
    this.#started = true;
    this.#settled.resolve();
    this.#wakeReaders();
    // Its record is kept for long; what ran it is not.
    this.#onProgress = () => undefined;
  }

  markFailed(failure: HarnessError): void {
    this.#failure = failure;
    this.#settled.resolve();
    this.#wakeReaders();
  }

  #wakeReaders(): void {
    for (const reader of this.#readers) reader.wake();
  }
}
