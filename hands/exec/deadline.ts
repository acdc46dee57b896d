/**
 * A time limit that can be put off cheaply: output that arrives a thousand times a second moves a number, not a timer.
 * 0 milliseconds: no limit.
 */
export class Deadline {
  readonly #ms: number;
  readonly #onPassed: () => void;
  #timer: NodeJS.Timeout | undefined;
  #at = 0;

  constructor(ms: number, onPassed: () => void) {
    this.#ms = ms;
    this.#onPassed = onPassed;
  }

  start(): void {
    if (this.#ms === 0) return;
    this.clear();
    this.#at = performance.now() + this.#ms;
    this.#timer = setTimeout(() => this.#check(), this.#ms);
  }

  /** Count from now again, where it runs. */
  restart(): void {
    if (this.#timer !== undefined) this.#at = performance.now() + this.#ms;
  }

  clear(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #check(): void {
    const left = this.#at - performance.now();
    if (left > 0) {
      this.#timer = setTimeout(() => this.#check(), Math.ceil(left));
      return;
    }
    this.#timer = undefined;
    this.#onPassed();
  }
}
