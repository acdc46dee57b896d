import { create } from "@bufbuild/protobuf";
import { type LeafState, type Tombstone, TombstoneSchema } from "@serverless-harness/proto/leaf";
import { checkSweep, type Retention } from "../contract/retention.ts";
import { forgetEmptyAccounts } from "./accounts.ts";
import type { Connection } from "./connection.ts";
import { noteLeafless } from "./sessions.ts";
import { forgetIdleTenants, noteChange } from "./tenants.ts";

const OLD_TOMBSTONES = "SELECT n FROM harness_tombstones WHERE expired_ms <= ? ORDER BY expired_ms LIMIT ?";
const OLD_LEAVES = `SELECT n, leaf_id, state, tenant, session_id FROM harness_leaves INDEXED BY harness_leaves_ended WHERE state >= 6 AND updated_ms <= ?
  ORDER BY updated_ms LIMIT ?`;
const BURY = "INSERT INTO harness_tombstones (n, leaf_id, state, expired_ms, tenant) VALUES (?, ?, ?, ?, ?)";
const FIND = "SELECT leaf_id, state, expired_ms, tenant FROM harness_tombstones WHERE leaf_id = ?";
const PARTS = ["leaves", "specs", "labels", "gates", "wakes", "attempts", "events", "files", "notices"].map(
  (part) => `DELETE FROM harness_${part} WHERE n = ?`,
);
const TOMBSTONE_PARTS = ["DELETE FROM harness_idempotency WHERE n = ?", "DELETE FROM harness_tombstones WHERE n = ?"];
const NOTE_REMOVED = "UPDATE harness_queue SET last_removed = max(last_removed, ?)";
/** Ids of events only grow, since whoever listens reads after the last: if the newest is removed, an event of nobody takes its place. */
const NEWEST_EVENT = "SELECT max(id) AS id FROM harness_events";
const DROP_MARK = "DELETE FROM harness_events WHERE n = 0 AND id < ?";
const MARK = "INSERT INTO harness_events (id, n, seq, state, event) VALUES (?, 0, 0, 0, x'') ON CONFLICT DO NOTHING";

type OldLeaf = {
  readonly n: number;
  readonly leaf_id: string;
  readonly state: LeafState;
  readonly tenant: string;
  readonly session_id: string;
};

/** Leaves that one transaction removes: others wait for the write lock meanwhile. */
const SWEEP_STEP = 50;

/** Remove what is kept for long enough, in transactions that `change` runs. Returns how many leaves or tombstones, of that of which there were more. */
export async function sweepInSteps(
  change: (work: (connection: Connection, nowMs: number) => number) => number,
  retention: Retention,
  limit: number,
): Promise<number> {
  checkSweep(retention, limit);
  const tombstones = change((connection, nowMs) => sweepTombstones(connection, nowMs, retention, limit));
  let leaves = 0;
  for (let step = SWEEP_STEP; step === SWEEP_STEP && leaves < limit; leaves += step) {
    const most = Math.min(SWEEP_STEP, limit - leaves);
    step = change((connection, nowMs) => sweepLeaves(connection, nowMs, retention, most));
    // Whoever waits for the process or for the write lock gets its turn.
    await new Promise(setImmediate);
  }
  return Math.max(tombstones, leaves);
}

/** Remove at most `limit` of the oldest tombstones that are kept for long enough, inside the caller's transaction. Returns how many. */
function sweepTombstones(connection: Connection, nowMs: number, { tombstoneMs }: Retention, limit: number): number {
  const old = connection.all<{ n: number }>(OLD_TOMBSTONES, nowMs - tombstoneMs, limit);
  for (const { n } of old) for (const part of TOMBSTONE_PARTS) connection.run(part, n);
  return old.length;
}

/** Remove at most `limit` of the leaves that ended first, if long enough ago, inside the caller's transaction. Returns how many. */
function sweepLeaves(connection: Connection, nowMs: number, { leafMs }: Retention, limit: number): number {
  const old = connection.all<OldLeaf>(OLD_LEAVES, nowMs - leafMs, limit);
  if (old.length === 0) return 0;
  const newest = connection.one<{ id: number }>(NEWEST_EVENT)?.id ?? 0;
  for (const { n, leaf_id: leafId, state, tenant, session_id: sessionId } of old) {
    connection.run(BURY, n, leafId, state, nowMs, tenant);
    connection.run(NOTE_REMOVED, n);
    for (const part of PARTS) connection.run(part, n);
    noteLeafless(connection, tenant, sessionId);
  }
  if (connection.one<{ id: number | null }>(NEWEST_EVENT)?.id !== newest) {
    connection.run(DROP_MARK, newest);
    connection.run(MARK, newest);
  }
  forgetIdleTenants(connection);
  forgetEmptyAccounts(connection, nowMs);
  // Followers of what is gone end.
  noteChange(connection);
  return old.length;
}

/** What is left of a leaf, or `undefined`. */
export function readTombstone(connection: Connection, leafId: string): Tombstone | undefined {
  const row = connection.one<{ leaf_id: string; state: LeafState; expired_ms: number; tenant: string }>(FIND, leafId);
  if (row === undefined) return undefined;
  return create(TombstoneSchema, { leafId: row.leaf_id, state: row.state, expiredAtMs: BigInt(row.expired_ms), tenant: row.tenant });
}
