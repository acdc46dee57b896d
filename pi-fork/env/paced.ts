const MIN_INTERVAL_MS = 100;
const TARGET_BYTES_PER_SECOND = 100 * 1024;

/**
 * Publishes a changing view at a bearable pace: at once after a pause, then so that what is published stays below 100 KiB a
 * second and ten times a second. Changes in between collapse into the next one.
 */
export class PacedPublisher {
  readonly #publish: () => number;
  #timer: NodeJS.Timeout | undefined;
  #dirty = false;
  #nextAt = 0;

  /** `publish` returns the bytes that it published; it must not throw. */
  constructor(publish: () => number) {
    this.#publish = publish;
  }

  /** The view has changed. */
  touch(): void {
    this.#dirty = true;
    const wait = this.#nextAt - performance.now();
    if (wait <= 0) this.flush();
    else this.#timer ??= setTimeout(() => this.flush(), wait);
  }

  /** Publish a change that waits, now. */
  flush(): void {
    this.stop();
    if (!this.#dirty) return;
    this.#dirty = false;
    const bytes = this.#publish();
    this.#nextAt = performance.now() + Math.max(MIN_INTERVAL_MS, (bytes * 1000) / TARGET_BYTES_PER_SECOND);
  }

  /** Publish no more by itself. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
