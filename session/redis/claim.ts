import { toBinary } from "@bufbuild/protobuf";
import { LeafState, type Worker, WorkerSchema } from "@serverless-harness/proto/leaf";
import type { Claim } from "../contract/claim.ts";
import type { Database } from "./database.ts";
import { stateEvent } from "./events.ts";
import { leafOf } from "./records.ts";
import { promoteDue } from "./repair.ts";
import { type Argument, callId, list, type Reply, text } from "./scripts.ts";

/** Take the leaf that is next: of the tenant whose turn it is, the best. */
export async function claimLeaf(database: Database, worker: Worker, leaseMs: number): Promise<Claim | undefined> {
  const call = callId();
  const args = [leaseMs, worker.name, toBinary(WorkerSchema, worker), stateEvent({ state: LeafState.RUNNING, worker }), call];
  const claimed = database.together ? list(await database.runIndex("claim", ...args)) : await claimByIndex(database, call, args);
  const [leafId, , , takeover, record] = claimed;
  const leaf = leafId === undefined ? undefined : leafOf(text(leafId), record);
  if (leaf?.spec === undefined) return undefined;
  const { tenant, sessionId } = leaf.spec;
  return { leaf, fence: { tenant, sessionId, epoch: leaf.epoch }, takeover: text(takeover) === "1" };
}

/**
 * On a cluster the index is asked whose turn it is, then that partition, and the index is told. It may be behind: then its partition says that
 * there is nothing, and it is asked again, knowing better.
 */
async function claimByIndex(database: Database, call: string, args: readonly Argument[]): Promise<readonly Reply[]> {
  for (;;) {
    const [overdue, tenant, number] = list(await database.runIndex("pick", call));
    const due = list(overdue).map((partition) => Number(text(partition)));
    if (due.length > 0) {
      await Promise.all(due.map((partition) => promoteDue(database, partition)));
      continue;
    }
    if (tenant === undefined) return [];
    const partition = Number(text(number));
    const [news, claimed] = list(await database.run("claimFrom", partition, ...args, text(tenant)));
    const found = list(claimed);
    await database.tell(partition, list(news), undefined, { call, tenant: text(tenant), vain: found.length === 0 });
    if (found.length > 0) return found;
  }
}
