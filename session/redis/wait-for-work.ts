import type { Database } from "./database.ts";
import { promoteDue, repairIndex } from "./repair.ts";
import { list, runCommand, text } from "./scripts.ts";
import type { Signals } from "./signals.ts";

/** How often the index of a cluster is compared with the partitions by one of all that wait, in milliseconds. */
const REPAIR_MS = 1000;

/**
 * Resolves when a leaf can be claimed, at the latest after `timeoutMs`, when `signal` aborts or when `isClosed` says that the store is. Leaves
 * that become ready by time alone are waited for as well.
 */
export async function waitForReadyLeaf(
  database: Database,
  signals: Signals,
  timeoutMs: number,
  signal: AbortSignal,
  isClosed: () => boolean,
): Promise<void> {
  if (isClosed() || signal.aborted) return;
  const giveUpAt = performance.now() + timeoutMs;
  const subscription = await signals.subscribe(database.names.workChannel);
  try {
    while (!isClosed() && !signal.aborted) {
      if (!database.together) await repairInTurn(database);
      const waitMs = await untilReady(database);
      const left = giveUpAt - performance.now();
      if (waitMs === 0 || left <= 0) return;
      await subscription.wait(signal, Math.ceil(Math.min(left, waitMs ?? left)));
    }
  } finally {
    subscription.close();
  }
}

/** Milliseconds until something can be claimed: 0 where it can, `undefined` where nothing will be by time alone. */
async function untilReady(database: Database): Promise<number | undefined> {
  for (;;) {
    const [ready, overdue, wait] = list(await database.runIndex("look"));
    const due = list(overdue).map((partition) => Number(text(partition)));
    if (due.length > 0) await Promise.all(due.map((partition) => promoteDue(database, partition)));
    else if (text(ready) === "1") return 0;
    else return text(wait) === "" ? undefined : Math.max(1, Number(text(wait)));
  }
}

/** Whoever comes first in a second does it for all. */
async function repairInTurn(database: Database): Promise<void> {
  const taken = await runCommand(database.client, "set", `${database.names.prefix}:repaired`, "1", "PX", REPAIR_MS, "NX");
  if (taken !== null) await repairIndex(database);
}
