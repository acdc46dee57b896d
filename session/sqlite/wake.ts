import type { LeafState } from "@serverless-harness/proto/leaf";
import { isTerminal } from "../contract/leaf-state.ts";
import { isWakeKey } from "../contract/wait-rules.ts";
import type { Connection } from "./connection.ts";
import type { Place } from "./session-order.ts";
import { endWait } from "./waits.ts";
import { rememberWake, wakeOf } from "./wakes.ts";

const FIND = "SELECT n, tenant, session_id, state, waiting, wake_key FROM harness_leaves WHERE leaf_id = ?";

type Sleeper = Place & { state: LeafState; waiting: number; wake_key: string | null };

/** End a leaf's wait for a key, or remember the key for the suspend to come, inside the caller's transaction. */
export function wakeLeaf(connection: Connection, nowMs: number, leafId: string, key: string): boolean {
  if (!isWakeKey(key)) return false;
  const leaf = connection.one<Sleeper>(FIND, leafId);
  if (leaf === undefined || isTerminal(leaf.state)) return false;
  const known = wakeOf(connection, leaf.n, key);
  if (known !== undefined) return known === "sent";
  const waits = leaf.waiting !== 0 && leaf.wake_key === key;
  rememberWake(connection, leaf.n, key, waits ? "used" : "sent");
  if (waits) endWait(connection, nowMs, leaf, "woken");
  return true;
}
