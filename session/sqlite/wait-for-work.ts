import { nextDueMs } from "./backlog.ts";
import type { Changes } from "./changes.ts";
import { hasReadyLeaf } from "./claim.ts";
import type { Connection } from "./connection.ts";

/**
 * Resolves when a leaf is ready, at the latest after `timeoutMs`, when `signal` aborts or when `isClosed` says that the store is. Leaves
 * that become ready by time alone are waited for as well.
 */
export async function waitForReadyLeaf(
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
    while (!isClosed() && !signal.aborted && !hasReadyLeaf(connection, now())) {
      const left = giveUpAt - performance.now();
      if (left <= 0) return;
      const due = nextDueMs(connection, now());
      await subscription.wait(signal, Math.ceil(due === undefined ? left : Math.min(left, due - now())));
    }
  } finally {
    subscription.close();
  }
}
