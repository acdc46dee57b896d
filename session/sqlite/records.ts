import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { type Attempt, AttemptSchema, type Failure, type Leaf } from "@serverless-harness/proto/leaf";
import { type LeafFields, toLeaf } from "../contract/leaf.ts";
import type { Bytes, Connection } from "./connection.ts";
import { unreadOf } from "./events.ts";
import { openGatesOf } from "./gates.ts";

/** A leaf's row with its spec. */
export type LeafRow = LeafFields<Bytes> & {
  readonly n: number;
  readonly open_gates: number;
  readonly attempts: number;
  readonly unread: string | null;
};

/** The columns of a {@link LeafRow}, from `harness_leaves l JOIN harness_specs s`. */
export const LEAF_COLUMNS = `l.n, l.leaf_id, l.state, l.created_ms, l.updated_ms, l.not_before_ms, l.claims, l.failed_attempts, l.epoch,
  l.last_seq, l.cancel_requested, l.worker, l.usage, l.failure, l.result, l.redrives, l.restarts, l.open_gates, l.attempts, l.unread, s.spec`;

const BY_ID = `SELECT ${LEAF_COLUMNS} FROM harness_leaves l JOIN harness_specs s ON s.n = l.n WHERE l.leaf_id = ?`;
const BY_NUMBER = `SELECT ${LEAF_COLUMNS} FROM harness_leaves l JOIN harness_specs s ON s.n = l.n WHERE l.n = ?`;

/** A leaf's record, or `undefined`. */
export function readLeaf(connection: Connection, leafId: string): Leaf | undefined {
  const row = connection.one<LeafRow>(BY_ID, leafId);
  return row === undefined ? undefined : leafOf(connection, row);
}

/** The record of a leaf that is known to be there, by its number. */
export function readLeafByNumber(connection: Connection, n: number): Leaf {
  const row = connection.one<LeafRow>(BY_NUMBER, n);
  if (row === undefined) throw new Error(`the store has no leaf number ${n}, but refers to it`);
  return leafOf(connection, row);
}

/** The record that a row and what belongs to it make up. */
export function leafOf(connection: Connection, row: LeafRow): Leaf {
  return toLeaf(row, {
    openGates: row.open_gates === 0 ? [] : openGatesOf(connection, row.n),
    attempts: row.attempts === 0 ? [] : attemptsOf(connection, row.n),
    messages: row.unread === null ? [] : unreadOf(connection, row.n, row.unread),
  });
}

const INSERT = "INSERT INTO harness_attempts (n, attempt) VALUES (?, ?)";
const COUNT = "UPDATE harness_leaves SET attempts = attempts + 1 WHERE n = ?";
const READ = "SELECT attempt FROM harness_attempts WHERE n = ? ORDER BY id";
const DELETE = "DELETE FROM harness_attempts WHERE n = ?";

/** Note a failed attempt of a worker, inside the caller's transaction. */
export function noteAttempt(connection: Connection, nowMs: number, n: number, worker: string, failure: Failure): void {
  const attempt = create(AttemptSchema, { endedAtMs: BigInt(Math.floor(nowMs)), worker, failure });
  connection.run(INSERT, n, toBinary(AttemptSchema, attempt));
  connection.run(COUNT, n);
}

/** A leaf's failed attempts, oldest first. */
function attemptsOf(connection: Connection, n: number): Attempt[] {
  return connection.all<{ attempt: Bytes }>(READ, n).map((row) => fromBinary(AttemptSchema, row.attempt));
}

/** Forget them, inside the caller's transaction. The caller sets the leaf's count. */
export function forgetAttempts(connection: Connection, n: number): void {
  connection.run(DELETE, n);
}
