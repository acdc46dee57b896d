import type { Leaf, LeafState } from "@serverless-harness/proto/leaf";
import { toLeaf } from "../leaf-record.ts";
import { list, type Reply } from "./scripts.ts";

/** The leaf that a record's fields and values, one behind the other, say; `undefined` where there are none. */
export function leafOf(reply: Reply | undefined): Leaf | undefined {
  const row = fieldsOf(reply);
  const spec = row.get("spec");
  if (spec === undefined) return undefined;
  const number = (name: string): number => Number(row.get(name)?.toString() ?? 0);
  const bytes = (name: string): Uint8Array | null => row.get(name) ?? null;
  return toLeaf({
    leaf_id: row.get("id")?.toString() ?? "",
    state: number("state") as LeafState,
    created_ms: number("created"),
    updated_ms: number("updated"),
    not_before_ms: number("not_before"),
    claims: number("claims"),
    failed_attempts: number("failed"),
    epoch: number("epoch"),
    last_seq: number("seq"),
    cancel_requested: number("cancel"),
    worker: bytes("worker"),
    usage: bytes("usage"),
    failure: bytes("failure"),
    result: bytes("result"),
    spec,
  });
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
