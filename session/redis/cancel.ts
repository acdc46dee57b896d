import { create, toBinary } from "@bufbuild/protobuf";
import { CancelRequestedSchema, type Leaf, LeafEventSchema } from "@serverless-harness/proto/leaf";
import { leafNotFailed, leafNotFound } from "../contract/errors.ts";
import { checkRequestedBy } from "../contract/waiting.ts";
import type { Database } from "./database.ts";
import { leafOf } from "./records.ts";
import { type Reply, text } from "./scripts.ts";

/** Ask for a leaf's end. */
export async function cancelLeaf(database: Database, leafId: string, requestedBy: string): Promise<Leaf> {
  checkRequestedBy(requestedBy);
  const value = create(CancelRequestedSchema, { requestedBy });
  const event = toBinary(LeafEventSchema, create(LeafEventSchema, { event: { case: "cancelRequested", value } }));
  const partition = database.names.partitionOfLeaf(leafId);
  const [found] = partition === undefined ? [] : await database.change("cancel", partition, leafId, event);
  return required(leafId, found);
}

/** Queue a failed leaf again. */
export async function redriveLeaf(database: Database, leafId: string, fromStart: boolean): Promise<Leaf> {
  const partition = database.names.partitionOfLeaf(leafId);
  const [found] = partition === undefined ? [] : await database.change("redrive", partition, leafId, fromStart ? "1" : "");
  if (text(found) === "NOT_FAILED") throw leafNotFailed();
  return required(leafId, Array.isArray(found) ? found : undefined);
}

function required(leafId: string, found: Reply | undefined): Leaf {
  const leaf = found === undefined ? undefined : leafOf(leafId, found);
  if (leaf === undefined) throw leafNotFound();
  return leaf;
}
