/** Denials that are written down at once. */
const BURST = 100;
/** And so many more each second. */
const PER_SECOND = 10;

/** Whoever is refused over and over must not fill the disk: beyond a rate, denials are only counted. */
export class DenialBound {
  #room = BURST;
  #atMs = 0;
  #counted = 0;

  /** This one is written down; otherwise it was counted. `nowMs`: of a clock that is never set. */
  take(nowMs: number): boolean {
    this.#room = Math.min(BURST, this.#room + ((nowMs - this.#atMs) / 1000) * PER_SECOND);
    this.#atMs = nowMs;
    if (this.#room < 1) {
      this.#counted++;
      return false;
    }
    this.#room--;
    return true;
  }

  /** How many were counted since the last time. */
  counted(): number {
    const counted = this.#counted;
    this.#counted = 0;
    return counted;
  }
}
