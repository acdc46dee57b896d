import type { Readable } from "node:stream";

/** A process that is gone, and nothing came for so long: whoever still holds its output open is a background process. */
const IDLE_MS = 100;
/** Longest wait for output after the end, in milliseconds, not counting the time that reading was paused. */
const LONGEST_MS = 3000;

/**
 * Waits for the rest of a process's output after its end. A background process may hold the pipes for ever, so the wait is bounded; but
 * while reading is paused no time passes, since what waits in the pipe is not lost then.
 */
export class Drain {
  readonly #streams: readonly Readable[];
  readonly #onDrained: () => void;
  #isPaused = false;
  #isBegun = false;
  #left = LONGEST_MS;
  #since = 0;
  #idle: NodeJS.Timeout | undefined;
  #longest: NodeJS.Timeout | undefined;

  constructor(streams: readonly Readable[], onDrained: () => void) {
    this.#streams = streams;
    this.#onDrained = onDrained;
  }

  /** The process has ended. */
  begin(): void {
    this.#isBegun = true;
    if (!this.#isPaused) this.#startTimers();
  }

  /** Output came. */
  touch(): void {
    if (this.#idle !== undefined) this.#idle.refresh();
  }

  pause(): void {
    this.#isPaused = true;
    for (const stream of this.#streams) stream.pause();
    if (this.#isBegun) this.#stopTimers();
  }

  resume(): void {
    this.#isPaused = false;
    for (const stream of this.#streams) stream.resume();
    if (this.#isBegun) this.#startTimers();
  }

  /** Read nothing more. */
  stop(): void {
    this.#isBegun = false;
    this.#stopTimers();
    for (const stream of this.#streams) stream.destroy();
  }

  #startTimers(): void {
    this.#stopTimers();
    this.#since = performance.now();
    this.#idle = setTimeout(this.#onDrained, IDLE_MS);
    this.#longest = setTimeout(this.#onDrained, this.#left);
  }

  #stopTimers(): void {
    if (this.#longest !== undefined) this.#left -= performance.now() - this.#since;
    clearTimeout(this.#idle);
    clearTimeout(this.#longest);
    this.#idle = undefined;
    this.#longest = undefined;
  }
}
