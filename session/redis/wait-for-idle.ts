import { type Patience, waitUntilDue } from "../contract/wait-until-due.ts";
import { readBacklog } from "./backlog.ts";
import type { Database } from "./database.ts";
import type { Signals } from "./signals.ts";

/** Resolves when no leaf is ready and none runs, at the latest when the patience is over. */
export function waitForIdle(database: Database, signals: Signals, patience: Patience): Promise<void> {
  const look = async (): Promise<number> => {
    const { ready, running } = await readBacklog(database);
    return ready + running === 0 ? 0 : Number.POSITIVE_INFINITY;
  };
  return waitUntilDue(() => signals.subscribe(database.names.idleChannel), look, patience);
}
