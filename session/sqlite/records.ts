import { create, type DescMessage, fromBinary, type MessageShape, toBinary } from "@bufbuild/protobuf";
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
import type { Bytes, Connection } from "./connection.ts";

/** A leaf's row with its spec. */
export type LeafRow = {
  readonly n: number;
  readonly leaf_id: string;
  readonly state: LeafState;
  readonly created_ms: number;
  readonly updated_ms: number;
  readonly not_before_ms: number;
  readonly claims: number;
  readonly failed_attempts: number;
  readonly epoch: number;
  readonly last_seq: number;
  readonly cancel_requested: number;
  readonly worker: Bytes | null;
  readonly usage: Bytes | null;
  readonly failure: Bytes | null;
  readonly result: Bytes | null;
  readonly spec: Bytes;
};

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

/** The record that a row holds. */
export function toLeaf(row: LeafRow): Leaf {
  const leaf = create(LeafSchema, {
    leafId: row.leaf_id,
    spec: fromBinary(LeafSpecSchema, row.spec),
    state: row.state,
    createdAtMs: BigInt(row.created_ms),
    updatedAtMs: BigInt(row.updated_ms),
    notBeforeMs: BigInt(row.not_before_ms),
    claims: row.claims,
    failedAttempts: row.failed_attempts,
    epoch: BigInt(row.epoch),
    lastSeq: BigInt(row.last_seq),
    cancelRequested: row.cancel_requested !== 0,
  });
  if (row.worker !== null) leaf.worker = fromBinary(WorkerSchema, row.worker);
  if (row.usage !== null) leaf.usage = fromBinary(UsageSchema, row.usage);
  if (row.failure !== null) leaf.failure = fromBinary(FailureSchema, row.failure);
  if (row.result !== null) leaf.result = fromBinary(LeafResultSchema, row.result);
  return leaf;
}

/** A message as a column holds it; NULL where there is none. */
export function toBlob<T extends DescMessage>(schema: T, message: MessageShape<T> | undefined): Uint8Array | null {
  return message === undefined ? null : toBinary(schema, message);
}
