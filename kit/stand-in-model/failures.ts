/** Transcripts whose failures are counted; the oldest are forgotten. */
const LIMIT = 10_000;

/**
 * Counts how often a scripted failure was given for one transcript. A failure leaves no trace in the transcript, so this is the
 * one thing that the server keeps between requests which changes an answer.
 */
export class FailureCount {
  readonly #given = new Map<string, number>();

  /** Whether to fail once more; counts it. `key`: the transcript and the kind of failure. */
  take(key: string, times: number): boolean {
    const given = this.#given.get(key) ?? 0;
    if (given >= times) return false;
    this.#given.delete(key);
    this.#given.set(key, given + 1);
    const oldest = this.#given.keys().next();
    if (this.#given.size > LIMIT && oldest.done !== true) this.#given.delete(oldest.value);
    return true;
  }
}
