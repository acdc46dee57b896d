/** Longest time that a timer can hold, in milliseconds. */
const MAX_TIMER_MS = 2_147_483_647;

/**
 * Act at a time (milliseconds since the Unix epoch), at once where it has passed, never where there is none. Returns what keeps it from
 * acting.
 */
export function atTime(timeMs: number | undefined, act: () => void): () => void {
  let timer: NodeJS.Timeout | undefined;
  const look = (): void => {
    const left = (timeMs ?? Number.POSITIVE_INFINITY) - Date.now();
    if (left <= 0) act();
    else if (left < Number.POSITIVE_INFINITY) timer = setTimeout(look, Math.min(left, MAX_TIMER_MS));
  };
  look();
  return () => clearTimeout(timer);
}
