import { readBacklog } from "./backlog.ts";
import type { Changes } from "./changes.ts";
import type { Connection } from "./connection.ts";

/** Resolves when no leaf is ready and none runs, at the latest after `timeoutMs`, when `signal` aborts or when `isClosed` says that the store is. */
export async function waitForIdle(
  connection: Connection,
  changes: Changes,
  now: () => number,
  timeoutMs: number,
  signal: AbortSignal,
  isClosed: () => boolean,
): Promise<void> {
  if (isClosed()) return;
  const giveUpAt = performance.now() + timeoutMs;
  const subscription = changes.subscribe("work");
  try {
    while (!isClosed() && !signal.aborted) {
      const { ready, running } = readBacklog(connection, now());
      const left = giveUpAt - performance.now();
      if (ready + running === 0 || left <= 0) return;
      await subscription.wait(signal, Math.ceil(left));
    }
  } finally {
    subscription.close();
  }
}
