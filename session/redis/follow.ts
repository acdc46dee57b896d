import type { LeafEvent } from "@serverless-harness/proto/leaf";
import { leafNotFound } from "../contract/errors.ts";
import { isTerminal } from "../contract/leaf.ts";
import type { Database } from "./database.ts";
import { readPage } from "./events.ts";
import type { Signals } from "./signals.ts";

/** Events read at once: what a follower that reads slowly costs in memory. */
const BATCH = 100;

/**
 * Events of a leaf after `afterSeq`, then live. Ends after the terminal one, when `signal` aborts, and when `isClosed` says that the
 * store is, and if the leaf is removed. Throws NOT_FOUND `leaf_not_found` for an unknown leaf, DATA_LOSS
 * `store_lost` if Redis holds another store.
 */
export async function* followLeaf(
  database: Database,
  signals: Signals,
  leafId: string,
  afterSeq: bigint,
  signal: AbortSignal,
  isClosed: () => boolean,
): AsyncGenerator<LeafEvent> {
  const over = (): boolean => signal.aborted || isClosed();
  if (over()) return;
  const subscription = await signals.subscribe(database.names.leafChannel(leafId));
  try {
    let [seq, seen] = [afterSeq, false];
    while (!over()) {
      database.requireSame();
      const { state, events } = await readPage(database, leafId, seq, BATCH);
      if (state === undefined) {
        await database.verifySame();
        // It was there before, and is kept no longer.
        if (seen) return;
        throw leafNotFound();
      }
      seen = true;
      for (const event of events) {
        yield event;
        if (over()) return;
        seq = event.seq;
      }
      // State and events are read in one step, so a leaf that was over then has no event after these.
      if (isTerminal(state) && events.length < BATCH) return;
      if (events.length < BATCH) await subscription.wait(signal);
    }
  } catch (error) {
    if (!isClosed()) throw error;
  } finally {
    subscription.close();
  }
}
