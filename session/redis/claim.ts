import { toBinary } from "@bufbuild/protobuf";
import { LeafState, type Worker, WorkerSchema } from "@serverless-harness/proto/leaf";
import type { Claim } from "../leaf-store.ts";
import { callId } from "./calls.ts";
import type { Database } from "./database.ts";
import { stateEvent } from "./events.ts";
import type { Hints } from "./hints.ts";
import { leafOf } from "./records.ts";
import { list, text } from "./scripts.ts";

/** Take the oldest ready leaf of the first partition that has one. */
export async function claimLeaf(database: Database, hints: Hints, worker: Worker, leaseMs: number): Promise<Claim | undefined> {
  const { partitions } = await hints.candidates();
  if (partitions.length === 0) return undefined;
  const args = [leaseMs, worker.name, toBinary(WorkerSchema, worker), stateEvent({ state: LeafState.RUNNING, worker }), callId()];
  for (const partition of partitions) {
    const [record, takeover, news] = list(await database.run("claim", partition, ...args));
    const leaf = leafOf(record);
    // A hint that is late sends somebody to a partition in vain, so a claim that was made does not wait for it.
    const told = hints.tell(partition, news);
    if (leaf === undefined) await told;
    else told.catch(() => undefined);
    if (leaf?.spec !== undefined) {
      const { tenant, sessionId } = leaf.spec;
      return { leaf, fence: { tenant, sessionId, epoch: leaf.epoch }, takeover: text(takeover) === "1" };
    }
  }
  return undefined;
}
