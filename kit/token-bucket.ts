/** Lets things through at a rate: so many at once, and so many more each second. */
export class TokenBucket {
  readonly #perSecond: number;
  readonly #most: number;
  #room: number;
  #atMs = Number.NEGATIVE_INFINITY;

  /** `most`: at once, at least 1. */
  constructor(perSecond: number, most: number) {
    this.#perSecond = perSecond;
    this.#most = most;
    this.#room = most;
  }

  /** Whether this one gets through. `nowMs`: of a clock that is never set. */
  take(nowMs: number): boolean {
    const passed = Number.isFinite(this.#atMs) ? nowMs - this.#atMs : 0;
    this.#room = Math.min(this.#most, this.#room + (passed / 1000) * this.#perSecond);
    this.#atMs = nowMs;
    if (this.#room < 1) return false;
    this.#room--;
    return true;
  }

  /** After how many milliseconds the next one gets through. */
  get waitMs(): number {
    return this.#room >= 1 ? 0 : Math.ceil(((1 - this.#room) / this.#perSecond) * 1000);
  }
}
