import { gateNotFound } from "../contract/errors.ts";
import type { Claim, NewEvent } from "../contract/leaf-store.ts";
import { checkWait, isEmptyWait, isWakeKey, MAX_WAKE_KEYS } from "../contract/wait-rules.ts";
import type { Wait } from "../contract/waiting.ts";
import { callId } from "./calls.ts";
import type { Database } from "./database.ts";
import { encode } from "./names.ts";
import { end } from "./outcome.ts";
import { text } from "./scripts.ts";

/** Let go of a leaf until what it waits for happens. */
export async function suspendLeaf(database: Database, claim: Claim, wait: Wait, note: string, events: readonly NewEvent[]): Promise<void> {
  checkWait(wait);
  const { gateIds = [], wakeKey = "", notBeforeMs } = wait;
  const times = notBeforeMs === undefined ? "" : Math.ceil(notBeforeMs);
  const fields = [note, wakeKey, times, isEmptyWait(wait) ? "1" : "", gateIds.length, ...gateIds.map(encode)];
  const [refusal] = await end(database, "suspend", claim, fields, events);
  if (refusal !== undefined) throw gateNotFound();
}

/** End a leaf's wait for a key, or keep the wake for who will wait for it. */
export async function wakeLeaf(database: Database, leafId: string, key: string): Promise<boolean> {
  const partition = database.names.partitionOfLeaf(leafId);
  if (partition === undefined || !isWakeKey(key)) return false;
  const [waited] = await database.change("wake", partition, leafId, key, callId(), MAX_WAKE_KEYS);
  return text(waited) === "1";
}
