import { toBinary } from "@bufbuild/protobuf";
import { type Failure, FailureSchema, LeafState } from "@serverless-harness/proto/leaf";
import { checkEndOverdue, OVERDUE } from "../contract/leaf-deadline.ts";
import type { Database } from "./database.ts";
import { stateEvent } from "./events.ts";
import { text } from "./scripts.ts";

const ENDS = [...endOf(OVERDUE.queued), ...endOf(OVERDUE.waiting)];

/** End leaves that nobody holds, at most `limit`: of one partition after the other, beginning anywhere, so that none waits for long. */
export async function endOverdueLeaves(database: Database, graceMs: number, limit: number): Promise<number> {
  checkEndOverdue(graceMs, limit);
  const { partitions } = database.names;
  const first = Math.floor(Math.random() * partitions);
  let total = 0;
  for (let i = 0; i < partitions && total < limit; i++) {
    const [count] = await database.change("endOverdue", (first + i) % partitions, Math.ceil(graceMs), limit - total, ...ENDS);
    total += Number(text(count));
  }
  return total;
}

function endOf(failure: Failure): [failure: Uint8Array, event: Uint8Array] {
  return [toBinary(FailureSchema, failure), stateEvent({ state: LeafState.FAILED, failure })];
}
