import type { Changes } from "./changes.ts";
import type { Connection } from "./connection.ts";

const NUMBER = "SELECT n FROM harness_leaves WHERE leaf_id = ?";
const WISHES = "SELECT cancel_requested, unread FROM harness_leaves WHERE n = ?";

/** Call `onWish` when what is wanted of a leaf has changed, until `signal` aborts or `isClosed` says that the store is. Never rejects. */
export async function listenTo(
  connection: Connection,
  changes: Changes,
  leafId: string,
  signal: AbortSignal,
  onWish: () => void,
  isClosed: () => boolean,
): Promise<void> {
  try {
    const leaf = connection.one<{ n: number }>(NUMBER, leafId);
    if (leaf === undefined) return;
    const subscription = changes.subscribe(leaf.n);
    try {
      // The leaf's own events wake as well, and far more often: they say nothing here.
      for (let known = wishesOf(connection, leaf.n); !signal.aborted && !isClosed(); ) {
        await subscription.wait(signal);
        if (signal.aborted || isClosed()) return;
        const wishes = wishesOf(connection, leaf.n);
        if (wishes !== known) onWish();
        known = wishes;
      }
    } finally {
      subscription.close();
    }
  } catch {
    // The heartbeat meets the database's error where it can be told.
  }
}

function wishesOf(connection: Connection, n: number): string {
  const row = connection.one<{ cancel_requested: number; unread: string | null }>(WISHES, n);
  return `${row?.cancel_requested} ${row?.unread}`;
}
