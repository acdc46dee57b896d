import { create, fromBinary } from "@bufbuild/protobuf";
import {
  FailureSchema,
  type Leaf,
  LeafResultSchema,
  LeafSchema,
  LeafSpecSchema,
  type LeafState,
  UsageSchema,
  WorkerSchema,
} from "@serverless-harness/proto/leaf";
import { list, type Reply } from "./scripts.ts";

/** The leaf that a record's fields and values, one behind the other, say; `undefined` where there are none. */
export function leafOf(reply: Reply | undefined): Leaf | undefined {
  const row = fieldsOf(reply);
  const spec = row.get("spec");
  if (spec === undefined) return undefined;
  const number = (name: string): number => Number(row.get(name)?.toString() ?? 0);
  const leaf = create(LeafSchema, {
    leafId: row.get("id")?.toString() ?? "",
    spec: fromBinary(LeafSpecSchema, spec),
    state: number("state") as LeafState,
    createdAtMs: BigInt(number("created")),
    updatedAtMs: BigInt(number("updated")),
    notBeforeMs: BigInt(number("not_before")),
    claims: number("claims"),
    failedAttempts: number("failed"),
    epoch: BigInt(number("epoch")),
    lastSeq: BigInt(number("seq")),
    cancelRequested: number("cancel") !== 0,
  });
  const [worker, usage, failure, result] = ["worker", "usage", "failure", "result"].map((name) => row.get(name));
  if (worker !== undefined) leaf.worker = fromBinary(WorkerSchema, worker);
  if (usage !== undefined) leaf.usage = fromBinary(UsageSchema, usage);
  if (failure !== undefined) leaf.failure = fromBinary(FailureSchema, failure);
  if (result !== undefined) leaf.result = fromBinary(LeafResultSchema, result);
  return leaf;
}

/** Fields and values, one behind the other, by name. */
function fieldsOf(reply: Reply | undefined): ReadonlyMap<string, Buffer> {
  const fields = new Map<string, Buffer>();
  const flat = list(reply);
  for (let i = 0; i + 1 < flat.length; i += 2) {
    const value = flat[i + 1];
    if (Buffer.isBuffer(value)) fields.set(String(flat[i]), value);
  }
  return fields;
}
