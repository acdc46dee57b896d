import { TokenBucket } from "@serverless-harness/kit/token-bucket";

/** Denials that are written down at once, and so many more each second. */
const [BURST, PER_SECOND] = [100, 10];

/** Whoever is refused over and over must not fill the disk: beyond a rate, denials are only counted. */
export class DenialBound {
  readonly #bucket = new TokenBucket(PER_SECOND, BURST);
  #counted = 0;

  /** This one is written down; otherwise it was counted. `nowMs`: of a clock that is never set. */
  take(nowMs: number): boolean {
    if (this.#bucket.take(nowMs)) return true;
    this.#counted++;
    return false;
  }

  /** How many were counted since the last time. */
  counted(): number {
    const counted = this.#counted;
    this.#counted = 0;
    return counted;
  }
}
