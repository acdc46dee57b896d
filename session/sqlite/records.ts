import { type DescMessage, type MessageShape, toBinary } from "@bufbuild/protobuf";
import type { Leaf } from "@serverless-harness/proto/leaf";
import { type LeafFields, toLeaf } from "../leaf-record.ts";
import type { Bytes, Connection } from "./connection.ts";

/** A leaf's row with its spec. */
export type LeafRow = LeafFields<Bytes> & { readonly n: number };

/** The columns of a {@link LeafRow}, from `harness_leaves l JOIN harness_specs s`. */
export const LEAF_COLUMNS = `l.n, l.leaf_id, l.state, l.created_ms, l.updated_ms, l.not_before_ms, l.claims, l.failed_attempts, l.epoch,
  l.last_seq, l.cancel_requested, l.worker, l.usage, l.failure, l.result, s.spec`;

const BY_ID = `SELECT ${LEAF_COLUMNS} FROM harness_leaves l JOIN harness_specs s ON s.n = l.n WHERE l.leaf_id = ?`;
const BY_NUMBER = `SELECT ${LEAF_COLUMNS} FROM harness_leaves l JOIN harness_specs s ON s.n = l.n WHERE l.n = ?`;

/** A leaf's record, or `undefined`. */
export function readLeaf(connection: Connection, leafId: string): Leaf | undefined {
  const row = connection.one<LeafRow>(BY_ID, leafId);
  return row === undefined ? undefined : toLeaf(row);
}

/** The record of a leaf that is known to be there, by its number. */
export function readLeafByNumber(connection: Connection, n: number): Leaf {
  const row = connection.one<LeafRow>(BY_NUMBER, n);
  if (row === undefined) throw new Error(`the store has no leaf number ${n}, but refers to it`);
  return toLeaf(row);
}

/** A message as a column holds it; NULL where there is none. */
export function toBlob<T extends DescMessage>(schema: T, message: MessageShape<T> | undefined): Uint8Array | null {
  return message === undefined ? null : toBinary(schema, message);
}
