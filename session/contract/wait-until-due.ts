import type { Subscription } from "./subscription.ts";

/** How long somebody waits at the most. */
export interface Patience {
  /** In milliseconds. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  /** The store was closed. */
  readonly isClosed: () => boolean;
}

/**
 * Resolves when `look` says that something is due, at the latest when the patience is over. `look`: milliseconds until it is due by time alone, 0 or less
 * if it is, Infinity if never; it is asked again with each wake of the subscription, which is closed at the end.
 */
export async function waitUntilDue(
  subscribe: () => Subscription | Promise<Subscription>,
  look: () => number | Promise<number>,
  { timeoutMs, signal, isClosed }: Patience,
): Promise<void> {
  const isOver = (): boolean => isClosed() || signal.aborted;
  if (isOver()) return;
  const giveUpAt = performance.now() + timeoutMs;
  const subscription = await subscribe();
  try {
    while (!isOver()) {
      const dueInMs = await look();
      const leftMs = giveUpAt - performance.now();
      if (dueInMs <= 0 || leftMs <= 0) return;
      await subscription.wait(signal, Math.ceil(Math.min(leftMs, dueInMs)));
    }
  } finally {
    subscription.close();
  }
}
