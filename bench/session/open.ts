import { branchTip, insertEntry, type Session, type Storage, setValue, type Write } from "@earendil-works/pi-agent-core";
import { BACKGROUND_CONTEXT as CONTEXT } from "@earendil-works/pi-agent-core/harness/context";
import type { OwnedPlace } from "./places.ts";

/** Entries behind the last compaction. */
const TAIL = 50;

/** What an agent's session ends with: a compaction, and some entries behind it. */
export function* tail(tipId: string): Generator<Write[]> {
  const summary = "s".repeat(2000);
  let parentId = "bench-compaction";
  yield [insertEntry({ id: parentId, parentId: tipId, type: "compaction", summary, retainedTail: [], tokensBefore: 1, fromHook: false })];
  for (let i = 0; i < TAIL; i++) {
    const id = `bench-tail-${i}`;
    yield [insertEntry({ id, parentId, type: "custom", customType: "note", data: "x".repeat(256) }), setValue(branchTip("main"), id)];
    parentId = id;
  }
}

/** What a brain does before it asks the model: open the session, find the branch, read back to the last compaction. */
export async function openAtCheckpoint(place: OwnedPlace, storage: Storage): Promise<{ session: Session; entries: number }> {
  const session = await place.open(storage);
  const main = await session.branch("main", CONTEXT);
  if (main === undefined) throw new Error("the session has no branch");
  const entries = await main.findEntries({ stopAtType: "compaction" }, CONTEXT);
  return { session, entries: entries.length };
}

/** What it would do without checkpoints: read everything. */
export async function replay(storage: Storage): Promise<number> {
  const entries = await storage.scanEntries({ order: "asc" }, CONTEXT);
  return entries.length;
}
