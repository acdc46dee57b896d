import { type WaitOptions, waitUntilDue } from "../contract/subscription.ts";
import { nextDueMs, readBacklog } from "./backlog.ts";
import type { Changes } from "./changes.ts";
import { hasReadyLeaf } from "./claim.ts";
import type { Connection } from "./connection.ts";

/**
 * Resolves when a leaf is ready, at the latest after `timeoutMs`. Leaves that become ready by time alone are waited for as well; one whose time
 * has come may not be ready, as its session is busy, and then it is looked at again.
 */
export function waitForReadyLeaf(connection: Connection, changes: Changes, now: () => number, options: WaitOptions): Promise<void> {
  const look = (): number => {
    if (hasReadyLeaf(connection, now())) return 0;
    const due = nextDueMs(connection, now());
    return due === undefined ? Number.POSITIVE_INFINITY : Math.max(1, due - now());
  };
  return waitUntilDue(() => changes.subscribe("work"), look, options);
}

/** Resolves when no leaf is ready and none runs, at the latest after `timeoutMs`. */
export function waitForIdle(connection: Connection, changes: Changes, now: () => number, options: WaitOptions): Promise<void> {
  const look = (): number => {
    const { ready, running } = readBacklog(connection, now());
    return ready + running === 0 ? 0 : Number.POSITIVE_INFINITY;
  };
  return waitUntilDue(() => changes.subscribe("work"), look, options);
}
