import { create } from "@bufbuild/protobuf";
import { type LeafState, type Tombstone, TombstoneSchema } from "@serverless-harness/proto/leaf";
import { checkIdle, checkSweep, type IdleSession, type Retention } from "../contract/retention.ts";
import type { Database } from "./database.ts";
import { nameParts, sessionName } from "./names.ts";
import { UNRESERVE } from "./programs.ts";
import { list, runCommand, runScript, text } from "./scripts.ts";

/** Leaves, and tombstones, that one script removes at the most. */
const PER_SCRIPT = 50;

/** What one sweep removed. */
interface Swept {
  leaves: number;
  tombstones: number;
}

/**
 * Remove leaves that are over for long, and old tombstones, at most `limit` of each: from one partition after the other, beginning anywhere, so that
 * none is left out for long.
 */
export async function sweepLeaves(database: Database, retention: Retention, limit: number): Promise<number> {
  checkSweep(retention, limit);
  const { leafMs, tombstoneMs } = retention;
  const { partitions } = database.names;
  const first = Math.floor(Math.random() * partitions);
  const total: Swept = { leaves: 0, tombstones: 0 };
  for (let i = 0; i < partitions; i++) {
    const partition = (first + i) % partitions;
    for (;;) {
      const most = [limit - total.leaves, limit - total.tombstones].map((left) => Math.min(left, PER_SCRIPT)) as [number, number];
      if (Math.max(...most) <= 0) return limit;
      const swept = await sweepSome(database, partition, [Math.ceil(leafMs), Math.ceil(tombstoneMs), ...most]);
      total.leaves += swept.leaves;
      total.tombstones += swept.tombstones;
      if ((most[0] === 0 || swept.leaves < most[0]) && (most[1] === 0 || swept.tombstones < most[1])) break;
    }
  }
  return Math.max(total.leaves, total.tombstones);
}

/** A tombstone goes last: whoever is killed before leaves it to the next sweep. */
async function sweepSome(database: Database, partition: number, args: readonly number[]): Promise<Swept> {
  const [leaves, tombstones, keys] = list(await database.run("sweep", partition, ...args));
  const pairs = list(keys).map(text);
  const buried = pairs.filter((_, i) => i % 2 === 0);
  await Promise.all(
    buried.map((leafId, i) => runScript(database.client, UNRESERVE, [database.names.idempotency(pairs[i * 2 + 1] ?? "")], [leafId])),
  );
  if (buried.length > 0) await database.run("bury", partition, ...buried);
  return { leaves: Number(text(leaves)), tombstones: Number(text(tombstones)) };
}

/** What is left of a leaf that was removed. */
export async function readTombstone(database: Database, leafId: string): Promise<Tombstone | undefined> {
  const partition = database.names.partitionOfLeaf(leafId);
  if (partition === undefined) return undefined;
  const [state, expiredMs, tenant = ""] = list(await database.run("tombstone", partition, leafId)).map(text);
  if (state === undefined || expiredMs === undefined) return undefined;
  return create(TombstoneSchema, {
    leafId,
    state: Number(state) as LeafState,
    expiredAtMs: BigInt(expiredMs),
    tenant: decodeURIComponent(tenant),
  });
}

/** Sessions without a leaf whose last owner came more than `idleMs` ago, the longest idle of each partition first. */
export async function idleSessions(database: Database, idleMs: number, limit: number, skip: number): Promise<IdleSession[]> {
  checkIdle(idleMs, limit, skip);
  const found: IdleSession[] = [];
  let passed = skip;
  for (const partition of database.names.all()) {
    if (found.length === limit) break;
    const reply = await database.run("idleSessions", partition, Math.ceil(idleMs), passed, limit - found.length);
    const [count = "0", ...rest] = list(reply).map(text);
    for (let i = 0; i < rest.length; i += 2) found.push({ ...nameParts(rest[i] ?? ""), epoch: BigInt(rest[i + 1] ?? 0) });
    passed = Math.max(0, passed - Number(count));
  }
  return found;
}

/** A leaf was ever submitted on this session. */
export async function sessionExists({ client, names }: Database, tenant: string, sessionId: string): Promise<boolean> {
  const session = sessionName(tenant, sessionId);
  return (await runCommand(client, "exists", `${names.base(names.partitionOf(session))}:session:${session}`)) === 1;
}

/** Forget a session that has no leaf. */
export async function removeSession(database: Database, { tenant, sessionId, epoch }: IdleSession): Promise<boolean> {
  const session = sessionName(tenant, sessionId);
  return text(await database.run("removeSession", database.names.partitionOf(session), session, epoch)) === "1";
}
