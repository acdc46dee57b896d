import { writeSync } from "node:fs";

/** How long a line waits for a reader that is slower than we are, in milliseconds; after that it is lost. */
const PATIENCE_MS = 1000;
const PAUSE_MS = 5;

/**
 * Where log lines go: a line is out of the process when `write` returns, or it is lost, as on a full disk. It never throws: a service does not end of
 * what it wanted to say. How many lines were lost is told with the first that gets through again.
 */
export class LogDestination {
  readonly #fd: number;
  #lost = 0;

  constructor(fd: number) {
    this.#fd = fd;
  }

  write(line: string): void {
    const note = this.#lost === 0 ? "" : `${JSON.stringify({ level: 40, time: Date.now(), lost: this.#lost, msg: LOST })}\n`;
    const bytes = Buffer.from(note + line);
    const giveUpAt = performance.now() + PATIENCE_MS;
    for (let done = 0; done < bytes.length; ) {
      try {
        done += writeSync(this.#fd, bytes, done);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === "EAGAIN" && performance.now() < giveUpAt) {
          Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, PAUSE_MS);
          continue;
        }
        this.#lost++;
        return;
      }
    }
    this.#lost = 0;
  }
}

const LOST = "log lines before this one could not be written";
