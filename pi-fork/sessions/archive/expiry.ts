/** Which sessions are removed. */
export interface Expiry {
  /** Nothing was committed to them for so many milliseconds, and no leaf of theirs is unfinished. */
  readonly idleMs: number;
  /** At the most. Default 100. */
  readonly limit?: number;
  /** Directory that each is archived in before, as `<session's key, percent-encoded>.jsonl`. Default: they are not archived. */
  readonly archive?: string;
}

/** Default of {@link Expiry.limit}. */
export const EXPIRED_AT_ONCE = 100;
