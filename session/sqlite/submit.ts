import { toBinary } from "@bufbuild/protobuf";
import { newId } from "@serverless-harness/kit/ids";
import { type Leaf, type LeafSpec, LeafSpecSchema, LeafState } from "@serverless-harness/proto/leaf";
import { leafExpired, sessionExistsAlready, sessionNotFound } from "../contract/errors.ts";
import { fingerprint, keyReused } from "../contract/fingerprint.ts";
import { deadlineFrom } from "../contract/leaf.ts";
import type { NewLeaf } from "../contract/leaf-store.ts";
import { requireRoomFor } from "./accounts.ts";
import type { Bytes, Connection } from "./connection.ts";
import { appendEvents } from "./events.ts";
import { hasFiles } from "./files.ts";
import { readLeafByNumber } from "./records.ts";
import { headOf, sessionExists } from "./sessions.ts";

const INSERT_SESSION = `INSERT INTO harness_sessions (tenant, session_id, epoch, created_ms) VALUES (?, ?, (SELECT first_epoch FROM harness_queue), ?)
  ON CONFLICT DO UPDATE SET leafless = 0 WHERE leafless = 1`;
/** A number that was given once is never given again, though the leaf may be removed. */
const NEXT_NUMBER = "max((SELECT coalesce(max(n), 0) FROM harness_leaves), (SELECT last_removed FROM harness_queue)) + 1";
const INSERT_LEAF = `INSERT INTO harness_leaves (n, leaf_id, tenant, session_id, state, due_ms, created_ms, updated_ms, priority, deadline_ms, notify, account, bytes)
  VALUES (${NEXT_NUMBER}, ?, ?, ?, ${LeafState.QUEUED}, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING n`;
const INSERT_SPEC = "INSERT INTO harness_specs (n, spec) VALUES (?, ?)";
const INSERT_LABEL = "INSERT INTO harness_labels (key, value, n) VALUES (?, ?, ?)";

/** Write a leaf, its first event and its place in the queue, inside the caller's transaction. */
export function submitLeaf(
  connection: Connection,
  nowMs: number,
  { spec, idempotencyKey, notify = false, charge }: NewLeaf,
): { leaf: Leaf; created: boolean } {
  if (idempotencyKey !== "") {
    const known = findByKey(connection, spec.tenant, idempotencyKey, spec);
    if (known !== undefined) return { leaf: readLeafByNumber(connection, known), created: false };
  }
  const filled = withSession(connection, nowMs, spec);
  const bytes = toBinary(LeafSpecSchema, filled);
  requireRoomFor(connection, nowMs, filled.tenant, bytes.length, charge);
  const n = insertLeaf(connection, nowMs, filled, { bytes, notify, account: charge?.account ?? "" });
  if (idempotencyKey !== "") rememberKey(connection, spec.tenant, idempotencyKey, spec, n);
  appendEvents(connection, n, nowMs, [], { state: LeafState.QUEUED });
  return { leaf: readLeafByNumber(connection, n), created: true };
}

/** The spec with its session named, which is there from now on. */
function withSession(connection: Connection, nowMs: number, spec: LeafSpec): LeafSpec {
  if (spec.sessionMustExist && !sessionExists(connection, spec.tenant, spec.sessionId)) {
    throw sessionNotFound();
  }
  if (spec.fork !== undefined && sessionExists(connection, spec.tenant, spec.sessionId)) throw sessionExistsAlready();
  const filled = { ...spec, sessionId: spec.sessionId || newId("session", nowMs) };
  connection.run(INSERT_SESSION, filled.tenant, filled.sessionId, nowMs);
  return filled;
}

function insertLeaf(
  connection: Connection,
  nowMs: number,
  spec: LeafSpec,
  { bytes, notify, account }: { readonly bytes: Uint8Array; readonly notify: boolean; readonly account: string },
): number {
  const { tenant, sessionId } = spec;
  // After an unfinished leaf of its session it has no due time until that one is over.
  const due = headOf(connection, tenant, sessionId) === undefined ? 0 : null;
  const leafId = newId("leaf", nowMs);
  const deadline = deadlineFrom(spec, nowMs) ?? null;
  const row = connection.one<{ n: number }>(
    INSERT_LEAF,
    ...[leafId, tenant, sessionId, due, nowMs, nowMs, spec.priority, deadline, notify ? 1 : 0, account, bytes.length],
  );
  if (row === undefined) throw new Error("SQLite inserted no row and no error");
  if (spec.files !== undefined) hasFiles(connection, row.n);
  connection.run(INSERT_SPEC, row.n, bytes);
  for (const [key, value] of Object.entries(spec.labels)) connection.run(INSERT_LABEL, key, value, row.n);
  return row.n;
}

const FIND = "SELECT fingerprint, n FROM harness_idempotency WHERE tenant = ? AND key = ?";
const IS_KEPT = "SELECT 1 FROM harness_leaves WHERE n = ?";
const INSERT = "INSERT INTO harness_idempotency (tenant, key, fingerprint, n) VALUES (?, ?, ?, ?)";

/**
 * The number of the leaf that a tenant's key stands for, or `undefined`. `spec` is the one that came with the key, before anything is
 * filled in. Throws ALREADY_EXISTS `idempotency_key_reused` if the key came with another spec before,
 * FAILED_PRECONDITION `leaf_expired` if the leaf was removed.
 */
function findByKey(connection: Connection, tenant: string, key: string, spec: LeafSpec): number | undefined {
  const known = connection.one<{ fingerprint: Bytes; n: number }>(FIND, tenant, key);
  if (known === undefined) return undefined;
  if (!fingerprint(spec).equals(known.fingerprint)) throw keyReused();
  if (connection.one(IS_KEPT, known.n) === undefined) throw leafExpired();
  return known.n;
}

/** Remember for which leaf a key stands. */
function rememberKey(connection: Connection, tenant: string, key: string, spec: LeafSpec, n: number): void {
  connection.run(INSERT, tenant, key, fingerprint(spec), n);
}
