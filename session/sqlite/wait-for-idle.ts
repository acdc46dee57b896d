import { type Patience, waitUntilDue } from "../contract/wait-until-due.ts";
import { readBacklog } from "./backlog.ts";
import type { Changes } from "./changes.ts";
import type { Connection } from "./connection.ts";

/** Resolves when no leaf is ready and none runs, at the latest when the patience is over. */
export function waitForIdle(connection: Connection, changes: Changes, now: () => number, patience: Patience): Promise<void> {
  const look = (): number => {
    const { ready, running } = readBacklog(connection, now());
    return ready + running === 0 ? 0 : Number.POSITIVE_INFINITY;
  };
  return waitUntilDue(() => changes.subscribe("work"), look, patience);
}
