import { type WaitOptions, waitUntilDue } from "../contract/subscription.ts";
import { readBacklog } from "./backlog.ts";
import type { Database } from "./database.ts";
import { promoteDue, repairIndex } from "./repair.ts";
import { list, runCommand, text } from "./scripts.ts";
import type { Signals } from "./signals.ts";

/** How often the index of a cluster is compared with the partitions by one of all that wait, in milliseconds. */
const REPAIR_MS = 1000;

/** Resolves when a leaf can be claimed, at the latest after `timeoutMs`. Leaves that become ready by time alone are waited for as well. */
export function waitForReadyLeaf(database: Database, signals: Signals, options: WaitOptions): Promise<void> {
  const look = async (): Promise<number> => {
    if (!database.together) await repairInTurn(database);
    return await untilReady(database);
  };
  return waitUntilDue(() => signals.subscribe(database.names.workChannel), look, options);
}

/** Milliseconds until something can be claimed: 0 if it can, Infinity if nothing will be by time alone. */
async function untilReady(database: Database): Promise<number> {
  for (;;) {
    const [ready, overdue, wait] = list(await database.runIndex("canClaim"));
    const due = list(overdue).map((partition) => Number(text(partition)));
    if (due.length > 0) await Promise.all(due.map((partition) => promoteDue(database, partition)));
    else if (text(ready) === "1") return 0;
    else return text(wait) === "" ? Number.POSITIVE_INFINITY : Math.max(1, Number(text(wait)));
  }
}

/** Whoever comes first in a second does it for all. */
async function repairInTurn(database: Database): Promise<void> {
  const taken = await runCommand(database.client, "set", `${database.names.prefix}:repaired`, "1", "PX", REPAIR_MS, "NX");
  if (taken !== null) await repairIndex(database);
}

/** Resolves when no leaf is ready and none runs, at the latest after `timeoutMs`. */
export function waitForIdle(database: Database, signals: Signals, options: WaitOptions): Promise<void> {
  const look = async (): Promise<number> => {
    const { ready, running } = await readBacklog(database);
    return ready + running === 0 ? 0 : Number.POSITIVE_INFINITY;
  };
  return waitUntilDue(() => signals.subscribe(database.names.idleChannel), look, options);
}
