import type { Leaf } from "@serverless-harness/proto/leaf";
import { type LeafFields, toLeaf } from "../contract/leaf-record.ts";
import { attemptsOf } from "./attempts.ts";
import type { Bytes, Connection } from "./connection.ts";
import { openGatesOf } from "./gates.ts";
import { unreadOf } from "./unread.ts";

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
