/** Remembers one wake until it is waited for, so that none is lost between a look at the store and the wait that follows it. */
export class Subscription {
  readonly #onClose: () => void;
  #woken = false;
  #resolve: (() => void) | undefined;

  constructor(onClose: () => void) {
    this.#onClose = onClose;
  }

  /** End the present wait, or the next one. */
  wake(): void {
    this.#woken = true;
    this.#resolve?.();
  }

  /** Resolves after a wake that came since the last wait, when `signal` aborts, or after `timeoutMs` if it is given. */
  async wait(signal: AbortSignal, timeoutMs?: number): Promise<void> {
    if (!this.#woken && !signal.aborted) await this.#pause(signal, timeoutMs);
    this.#woken = false;
  }

  /** Idempotent. */
  close(): void {
    this.#onClose();
  }

  async #pause(signal: AbortSignal, timeoutMs: number | undefined): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#resolve = resolve;
    const onAbort = (): void => resolve();
    signal.addEventListener("abort", onAbort, { once: true });
    // Longer ones fire at once: https://nodejs.org/api/timers.html#settimeoutcallback-delay-args
    if (timeoutMs !== undefined) timer = setTimeout(resolve, Math.min(timeoutMs, 2 ** 31 - 1));
    await promise;
    clearTimeout(timer);
    signal.removeEventListener("abort", onAbort);
    this.#resolve = undefined;
  }
}

/** A wait that never rejects: whoever waited asks the store next, and meets its error there. */
export async function withoutError(wait: Promise<void>): Promise<void> {
  await wait.catch(() => undefined);
}

/** How long somebody waits at the most. */
export interface WaitOptions {
  /** In milliseconds. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  /** The store was closed. */
  readonly isClosed: () => boolean;
}

/**
 * Resolves when `look` says that something is due, at the latest after `timeoutMs`. `look`: milliseconds until it is due by time alone, 0 or less
 * if it is, Infinity if never; it is asked again with each wake of the subscription, which is closed at the end.
 */
export async function waitUntilDue(
  subscribe: () => Subscription | Promise<Subscription>,
  look: () => number | Promise<number>,
  { timeoutMs, signal, isClosed }: WaitOptions,
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
