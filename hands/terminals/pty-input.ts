import { writeSync } from "node:fs";

/** How long to wait for a program that reads nothing before the next attempt, in milliseconds. */
const FULL_PAUSE_MS = 10;
/** Input that waits for such a program; what comes on top is dropped, as a real terminal's line does. */
const MOST_WAITING_BYTES = 1024 * 1024;

/**
 * Writes to a PTY's descriptor, which does not block. The first attempt is made at once: over a thread, as node-pty does it, a key takes twice
 * as long; and if a program does not read, node-pty tries again as fast as it can.
 */
export class PtyInput {
  readonly #descriptor: number;
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(descriptor: number) {
    this.#descriptor = descriptor;
  }

  write(data: Uint8Array): void {
    if (this.#isClosed || data.length === 0 || this.#waitingBytes + data.length > MOST_WAITING_BYTES) return;
    // A copy, if it may have to wait: the caller's bytes are a part of a message.
    this.#waiting.push(Buffer.from(data));
    this.#waitingBytes += data.length;
    if (this.#timer === undefined) this.#flush();
  }

  /** The descriptor is closed, and may be that of something else soon. */
  close(): void {
    this.#isClosed = true;
    this.#waiting = [];
    clearTimeout(this.#timer);
  }

  #flush(): void {
    this.#timer = undefined;
    for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[0]) {
      const written = this.#attempt(next);
      this.#waitingBytes -= written;
      if (written === next.length) this.#waiting.shift();
      else {
        this.#waiting[0] = next.subarray(written);
        this.#timer = setTimeout(() => this.#flush(), FULL_PAUSE_MS).unref();
        return;
      }
    }
  }

  /** Bytes that were taken. */
  #attempt(data: Buffer): number {
    try {
      return writeSync(this.#descriptor, data);
    } catch {
      // EAGAIN: the program reads nothing. EIO: its end is being noticed.
      return 0;
    }
  }
}
