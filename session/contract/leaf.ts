import { create, fromBinary } from "@bufbuild/protobuf";
import { Validation } from "@serverless-harness/kit/validate";
import {
  type Attempt,
  type Failure,
  FailureReason,
  FailureSchema,
  type Gate,
  type Leaf,
  type LeafMessage,
  LeafResultSchema,
  LeafSchema,
  type LeafSpec,
  LeafSpecSchema,
  LeafState,
  UsageSchema,
  WorkerSchema,
} from "@serverless-harness/proto/leaf";

const TERMINAL: ReadonlySet<LeafState> = new Set([LeafState.DONE, LeafState.FAILED, LeafState.CANCELLED, LeafState.ABORTED]);

/** The leaf is over: its state never changes again by itself. */
export function isTerminal(state: LeafState): boolean {
  return TERMINAL.has(state);
}

/** The name of a session beyond its tenant, in the log and as a workspace. No name holds a slash, so none collide. */
export function sessionKey(session: { readonly tenant: string; readonly sessionId: string }): string {
  return `${session.tenant}/${session.sessionId}`;
}

/** When a leaf has to be over, milliseconds since the Unix epoch; `undefined` if it has no deadline. */
export function deadlineOf({ spec, createdAtMs }: Pick<Leaf, "spec" | "createdAtMs">): number | undefined {
  return spec === undefined ? undefined : deadlineFrom(spec, Number(createdAtMs));
}

/** The same of a spec that is submitted at `createdMs`. */
export function deadlineFrom(spec: LeafSpec, createdMs: number): number | undefined {
  const allowedMs = spec.limits?.deadlineMs ?? 0n;
  return allowedMs > 0n ? Math.floor(createdMs) + Number(allowedMs) : undefined;
}

/** A deadline is there, and over at `nowMs`. */
export function hasPassed(deadlineMs: number | null | undefined, nowMs: number): boolean {
  return deadlineMs !== null && deadlineMs !== undefined && deadlineMs <= nowMs;
}

/** Why a leaf ended that nobody held when its deadline passed: one that nobody had begun, or one that waited. */
export const OVERDUE: Readonly<Record<"queued" | "waiting", Failure>> = {
  queued: overdue("the deadline passed before anybody began the leaf: nothing of it ran"),
  waiting: overdue("the deadline passed while the leaf waited, and no brain was there to end it: commands that it left running may go on"),
};

function overdue(message: string): Failure {
  return create(FailureSchema, { reason: FailureReason.DEADLINE_EXCEEDED, retryable: false, message });
}

/** Throw INVALID_ARGUMENT that names what is out of range. */
export function checkEndOverdue(graceMs: number, limit: number): void {
  const validation = new Validation();
  validation.range("grace_ms", graceMs, 0, Number.MAX_SAFE_INTEGER);
  validation.range("limit", limit, 1, 1000);
  validation.done();
}

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

/** Filters of {@link LeafStore.list}; every one that is set must match. */
export interface LeafQuery {
  readonly tenant?: string;
  readonly sessionId?: string;
  readonly states?: readonly LeafState[];
  readonly labels?: Readonly<Record<string, string>>;
  /** 1 to 1000. */
  readonly limit: number;
  /** From an earlier page. INVALID_ARGUMENT if it is not one of ours. */
  readonly pageToken?: string;
}
