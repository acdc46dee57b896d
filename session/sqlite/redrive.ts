import { type Leaf, LeafState } from "@serverless-harness/proto/leaf";
import { leafNotFailed, leafNotFound } from "../contract/errors.ts";
import { isTerminal } from "../contract/leaf-state.ts";
import { forgetAttempts } from "./attempts.ts";
import type { Connection } from "./connection.ts";
import { appendEvents } from "./events.ts";
import { readLeafByNumber } from "./records.ts";
import { headOf, type Place, takeOut } from "./session-order.ts";

const FIND = "SELECT n, tenant, session_id, state FROM harness_leaves WHERE leaf_id = ?";
const REDRIVE = `UPDATE harness_leaves SET state = ${LeafState.QUEUED}, due_ms = ?, updated_ms = ?, failure = NULL, attempts = 0,
  failed_attempts = 0, cancel_requested = 0, redrives = redrives + 1, restarts = restarts + ? WHERE n = ?`;

/** Queue a failed leaf again, inside the caller's transaction. */
export function redriveLeaf(connection: Connection, nowMs: number, leafId: string, fromStart: boolean): Leaf {
  const leaf = connection.one<Place & { state: LeafState }>(FIND, leafId);
  if (leaf === undefined) throw leafNotFound();
  if (leaf.state === LeafState.FAILED) {
    connection.run(REDRIVE, goBefore(connection, leaf) ? 0 : null, nowMs, fromStart ? 1 : 0, leaf.n);
    forgetAttempts(connection, leaf.n);
    appendEvents(connection, leaf.n, nowMs, [], { state: LeafState.QUEUED, note: fromStart ? "redriven from the start" : "redriven" });
  } else if (isTerminal(leaf.state)) throw leafNotFailed();
  return readLeafByNumber(connection, leaf.n);
}

/**
 * Make room in the queue for a leaf that is older than others of its session. False where it has to wait: for an older one, or for one that runs,
 * which keeps its session until it is let go of, also beyond its lease.
 */
function goBefore(connection: Connection, { n, tenant, session_id: sessionId }: Place): boolean {
  const head = headOf(connection, tenant, sessionId);
  if (head === undefined) return true;
  // A queued head without a place in the queue waits for a younger one that runs, as this leaf has to.
  const runs = head.state === LeafState.RUNNING || (head.state === LeafState.QUEUED && head.due_ms === null);
  if (head.n < n || runs) return false;
  takeOut(connection, head.n);
  return true;
}
