import type { Database } from "./database.ts";
import type { Hints } from "./hints.ts";
import { runCommand } from "./scripts.ts";
import type { Signals } from "./signals.ts";

/** How often the index of hints is compared with the partitions by one of all that wait, in milliseconds. */
const REPAIR_MS = 1000;

/**
 * Resolves when a leaf is ready, at the latest after `timeoutMs`, when `signal` aborts or when `isClosed` says that the store is. Leaves
 * that become ready by time alone are waited for as well.
 */
export async function waitForReadyLeaf(
  database: Database,
  hints: Hints,
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
      await repairInTurn(database, hints);
      const waitMs = await untilReady(hints);
      const left = giveUpAt - performance.now();
      if (waitMs === 0 || left <= 0) return;
      await subscription.wait(signal, Math.ceil(Math.min(left, waitMs ?? left)));
    }
  } finally {
    subscription.close();
  }
}

/** Milliseconds until something is ready: 0 where it is, `undefined` where nothing will be by time alone. Hints that are behind are mended. */
async function untilReady(hints: Hints): Promise<number | undefined> {
  for (;;) {
    const { partitions, waitMs } = await hints.candidates();
    const [first] = partitions;
    if (first === undefined) return waitMs;
    await hints.inspect(first);
    if ((await hints.candidates()).partitions.includes(first)) return 0;
  }
}

/** Whoever comes first in a second does it for all. */
async function repairInTurn(database: Database, hints: Hints): Promise<void> {
  const taken = await runCommand(database.client, "set", `${database.names.prefix}:repaired`, "1", "PX", REPAIR_MS, "NX");
  if (taken !== null) await hints.repair();
}
