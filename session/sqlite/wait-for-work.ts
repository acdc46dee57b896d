import { type Patience, waitUntilDue } from "../contract/wait-until-due.ts";
import { nextDueMs } from "./backlog.ts";
import type { Changes } from "./changes.ts";
import { hasReadyLeaf } from "./claim.ts";
import type { Connection } from "./connection.ts";

/**
 * Resolves when a leaf is ready, at the latest when the patience is over. Leaves that become ready by time alone are waited for as well; one whose time
 * has come may not be ready, as its session is busy, and then it is looked at again.
 */
export function waitForReadyLeaf(connection: Connection, changes: Changes, now: () => number, patience: Patience): Promise<void> {
  const look = (): number => {
    if (hasReadyLeaf(connection, now())) return 0;
    const due = nextDueMs(connection, now());
    return due === undefined ? Number.POSITIVE_INFINITY : Math.max(1, due - now());
  };
  return waitUntilDue(() => changes.subscribe("work"), look, patience);
}
