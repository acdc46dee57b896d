import type { LeafSpec } from "@serverless-harness/proto/leaf";
import { leafExpired } from "../contract/errors.ts";
import { fingerprint, keyReused } from "../contract/fingerprint.ts";
import type { Bytes, Connection } from "./connection.ts";

const FIND = "SELECT fingerprint, n FROM harness_idempotency WHERE tenant = ? AND key = ?";
const IS_KEPT = "SELECT 1 FROM harness_leaves WHERE n = ?";
const INSERT = "INSERT INTO harness_idempotency (tenant, key, fingerprint, n) VALUES (?, ?, ?, ?)";

/**
 * The number of the leaf that a tenant's key stands for, or `undefined`. `spec` is the one that came with the key, before anything is
 * filled in. Throws ALREADY_EXISTS `idempotency_key_reused` where the key came with another spec before,
 * FAILED_PRECONDITION `leaf_expired` where the leaf was removed.
 */
export function findByKey(connection: Connection, tenant: string, key: string, spec: LeafSpec): number | undefined {
  const known = connection.one<{ fingerprint: Bytes; n: number }>(FIND, tenant, key);
  if (known === undefined) return undefined;
  if (!fingerprint(spec).equals(known.fingerprint)) throw keyReused();
  if (connection.one(IS_KEPT, known.n) === undefined) throw leafExpired();
  return known.n;
}

/** Remember for which leaf a key stands. */
export function rememberKey(connection: Connection, tenant: string, key: string, spec: LeafSpec, n: number): void {
  connection.run(INSERT, tenant, key, fingerprint(spec), n);
}
