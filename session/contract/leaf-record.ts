import { create, fromBinary } from "@bufbuild/protobuf";
import {
  type Attempt,
  FailureSchema,
  type Gate,
  type Leaf,
  type LeafMessage,
  LeafResultSchema,
  LeafSchema,
  LeafSpecSchema,
  type LeafState,
  UsageSchema,
  WorkerSchema,
} from "@serverless-harness/proto/leaf";

/** A leaf as stores keep it: numbers and texts that they look at, and messages as bytes. */
export type LeafFields<Bytes extends Uint8Array = Uint8Array> = {
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
  readonly redrives?: number;
  readonly restarts?: number;
};

/** What stores keep beside a leaf's fields, since few leaves have any. */
export interface LeafDetails {
  /** Gates that wait for a decision, oldest first. */
  readonly openGates: Gate[];
  /** Failed attempts, oldest first. */
  readonly attempts: Attempt[];
  /** Messages that wait to be delivered, oldest first. */
  readonly messages: LeafMessage[];
}

/** The record that they make up. */
export function toLeaf(fields: LeafFields, details: Partial<LeafDetails> = {}): Leaf {
  const leaf = create(LeafSchema, {
    leafId: fields.leaf_id,
    spec: fromBinary(LeafSpecSchema, fields.spec),
    state: fields.state,
    createdAtMs: BigInt(fields.created_ms),
    updatedAtMs: BigInt(fields.updated_ms),
    notBeforeMs: BigInt(fields.not_before_ms),
    claims: fields.claims,
    failedAttempts: fields.failed_attempts,
    epoch: BigInt(fields.epoch),
    lastSeq: BigInt(fields.last_seq),
    cancelRequested: fields.cancel_requested !== 0,
    redrives: fields.redrives ?? 0,
    restarts: fields.restarts ?? 0,
    ...details,
  });
  if (fields.worker !== null) leaf.worker = fromBinary(WorkerSchema, fields.worker);
  if (fields.usage !== null) leaf.usage = fromBinary(UsageSchema, fields.usage);
  if (fields.failure !== null) leaf.failure = fromBinary(FailureSchema, fields.failure);
  if (fields.result !== null) leaf.result = fromBinary(LeafResultSchema, fields.result);
  return leaf;
}
