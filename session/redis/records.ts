import { fromBinary } from "@bufbuild/protobuf";
import { GateSchema, type Leaf, LeafSchema, type LeafState } from "@serverless-harness/proto/leaf";
import { toLeaf } from "../contract/leaf.ts";
import { messagesOf } from "./events.ts";
import { list, type Reply } from "./scripts.ts";

/** What a script shows of a leaf, in this order: `lib.lua` has the same list. */
const FIELDS = [
  "state",
  "created",
  "updated",
  "not_before",
  "claims",
  "failed",
  "epoch",
  "seq",
  "cancel",
  "held",
  "usage",
  "failure",
  "result",
  "attempts",
  "redrives",
  "restarts",
  "spec",
  "unread",
  "open",
] as const;

type Field = (typeof FIELDS)[number];

/** The leaf that a record's values say; `undefined` if there are none. */
export function leafOf(leafId: string, reply: Reply | undefined): Leaf | undefined {
  const values = list(reply);
  const bytes = (name: Field): Uint8Array | null => {
    const value = values[FIELDS.indexOf(name)];
    return Buffer.isBuffer(value) ? value : null;
  };
  const number = (name: Field): number => Number(bytes(name)?.toString() ?? 0);
  const spec = bytes("spec");
  if (spec === null) return undefined;
  const attempts = bytes("attempts");
  const open = values[FIELDS.indexOf("open")];
  const fields = {
    leaf_id: leafId,
    state: number("state") as LeafState,
    created_ms: number("created"),
    updated_ms: number("updated"),
    not_before_ms: number("not_before"),
    claims: number("claims"),
    failed_attempts: number("failed"),
    epoch: number("epoch"),
    last_seq: number("seq"),
    cancel_requested: number("cancel"),
    worker: workerOf(bytes("held")),
    usage: bytes("usage"),
    failure: bytes("failure"),
    result: bytes("result"),
    spec,
    redrives: number("redrives"),
    restarts: number("restarts"),
  };
  return toLeaf(fields, {
    attempts: attempts === null ? [] : fromBinary(LeafSchema, attempts).attempts,
    messages: messagesOf(values[FIELDS.indexOf("unread")]),
    openGates: Array.isArray(open) ? open.flatMap((gate) => (Buffer.isBuffer(gate) ? [fromBinary(GateSchema, gate)] : [])) : [],
  });
}

/** The worker that holds a leaf, of what `lib.lua` says of its holder. */
function workerOf(held: Uint8Array | null): Uint8Array | null {
  if (held === null || held.length === 0) return null;
  const colon = held.indexOf(":".charCodeAt(0), 16);
  const name = Number(Buffer.from(held.subarray(16, colon)).toString());
  return held.subarray(colon + 1 + name);
}
