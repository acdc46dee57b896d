/** Longest wait between two attempts, in milliseconds. */
const MAX_WAIT_MS = 6 * 3_600_000;
const FACTOR = 3;

/** How often and how patiently a message is delivered. */
export interface RetryBounds {
  /** Attempts in all. */
  readonly attempts: number;
  /** First wait in milliseconds, trebled each time up to six hours. */
  readonly baseMs: number;
  /** Where the jitter comes from: 0 to 1. Default `Math.random`. */
  readonly random?: () => number;
}

/** Milliseconds between attempt `attempt` (from 1) and the next one: at least half of its ceiling, so that the whole takes as long as is promised. */
export function waitAfter(attempt: number, { baseMs, random = Math.random }: RetryBounds, askedMs = 0): number {
  const ceiling = ceilingAfter(attempt, baseMs);
  return Math.max(Math.round(ceiling / 2 + (random() * ceiling) / 2), Math.min(askedMs, MAX_WAIT_MS));
}

/** The longest that all waits together may take, in milliseconds, if no receiver asks for more. */
export function longestSpan({ attempts, baseMs }: RetryBounds): number {
  let span = 0;
  for (let attempt = 1; attempt < attempts; attempt++) span += ceilingAfter(attempt, baseMs);
  return span;
}

function ceilingAfter(attempt: number, baseMs: number): number {
  return Math.min(MAX_WAIT_MS, baseMs * FACTOR ** Math.min(attempt - 1, 20));
}
