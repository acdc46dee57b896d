import type { LeafEvent, LeafState } from "@serverless-harness/proto/leaf";
import { leafNotFound } from "../contract/errors.ts";
import { isTerminal } from "../contract/leaf.ts";
import type { Changes } from "./changes.ts";
import type { Connection } from "./connection.ts";
import { requireSameFile } from "./database-file.ts";
import { readEvents } from "./events.ts";

/** Events read at once: what a follower that reads slowly costs in memory. */
const BATCH = 100;

const FIND = "SELECT n, state FROM harness_leaves WHERE leaf_id = ?";

/**
 * Events of a leaf after `afterSeq`, then live. Ends after the terminal one, when `signal` aborts, and when `isClosed` says that the
 * store is, or the leaf was removed. Throws NOT_FOUND `leaf_not_found` for an unknown leaf, DATA_LOSS `store_lost` if
 * the database's file is not the one that was opened.
 */
export async function* followLeaf(
  connection: Connection,
  changes: Changes,
  leafId: string,
  afterSeq: bigint,
  signal: AbortSignal,
  isClosed: () => boolean,
): AsyncGenerator<LeafEvent> {
  const find = () => connection.one<{ n: number; state: LeafState }>(FIND, leafId);
  const over = (): boolean => signal.aborted || isClosed();
  if (over()) return;
  const found = find();
  if (found === undefined) throw leafNotFound();
  const subscription = changes.subscribe(found.n);
  try {
    let seq = afterSeq;
    while (!over()) {
      requireSameFile(connection.db);
      // The state before the events: a leaf that was over then can have no event that is not read below.
      const leaf = find();
      if (leaf === undefined) return;
      const ended = isTerminal(leaf.state);
      const events = readEvents(connection, leafId, seq, BATCH);
      for (const event of events) {
        yield event;
        if (over()) return;
        seq = event.seq;
      }
      if (ended && events.length < BATCH) return;
      if (events.length < BATCH) await subscription.wait(signal);
    }
  } finally {
    subscription.close();
  }
}
