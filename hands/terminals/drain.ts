/** After this time without output, whatever still holds the PTY open is a background process. */
const IDLE_MS = 100;
/** Longest wait for output after the end, in milliseconds. */
const LONGEST_MS = 3000;

/** Waits for the rest of a program's output after its end: not for ever, since a background process may hold the PTY open. */
export class Drain {
  readonly #onDrained: () => void;
  #idle: NodeJS.Timeout | undefined;
  #longest: NodeJS.Timeout | undefined;

  constructor(onDrained: () => void) {
    this.#onDrained = onDrained;
  }

  /** The program has ended. */
  begin(): void {
    this.stop();
    this.#idle = setTimeout(this.#onDrained, IDLE_MS);
    this.#longest = setTimeout(this.#onDrained, LONGEST_MS);
  }

  /** Output came. */
  touch(): void {
    this.#idle?.refresh();
  }

  /** The PTY is closed. */
  stop(): void {
    clearTimeout(this.#idle);
    clearTimeout(this.#longest);
    this.#idle = undefined;
  }
}
