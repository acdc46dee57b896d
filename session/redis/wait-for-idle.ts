import { readBacklog } from "./backlog.ts";
import type { Database } from "./database.ts";
import type { Signals } from "./signals.ts";

/** Resolves when no leaf is ready and none runs, at the latest after `timeoutMs`, when `signal` aborts or when `isClosed` says that the store is. */
export async function waitForIdle(
  database: Database,
  signals: Signals,
  timeoutMs: number,
  signal: AbortSignal,
  isClosed: () => boolean,
): Promise<void> {
  if (isClosed() || signal.aborted) return;
  const giveUpAt = performance.now() + timeoutMs;
  const subscription = await signals.subscribe(database.names.idleChannel);
  try {
    while (!isClosed() && !signal.aborted) {
      const { ready, running } = await readBacklog(database);
      const left = giveUpAt - performance.now();
      if (ready + running === 0 || left <= 0) return;
      await subscription.wait(signal, Math.ceil(left));
    }
  } finally {
    subscription.close();
  }
}
