import type { LeafSpec } from "@serverless-harness/proto/leaf";
import { fingerprint, keyReused } from "../fingerprint.ts";
import type { Bytes, Connection } from "./connection.ts";

const FIND = "SELECT fingerprint, n FROM harness_idempotency WHERE tenant = ? AND key = ?";
const INSERT = "INSERT INTO harness_idempotency (tenant, key, fingerprint, n) VALUES (?, ?, ?, ?)";

/**
 * The number of the leaf that a tenant's key stands for, or `undefined`. `spec` is the one that came with the key, before anything is
 * filled in. Throws ALREADY_EXISTS `idempotency_key_reused` where the key came with another spec before.
 */
export function findByKey(connection: Connection, tenant: string, key: string, spec: LeafSpec): number | undefined {
  const known = connection.one<{ fingerprint: Bytes; n: number }>(FIND, tenant, key);
  if (known === undefined) return undefined;
  if (fingerprint(spec).equals(known.fingerprint)) return known.n;
  throw keyReused();
}

/** Remember for which leaf a key stands. */
export function rememberKey(connection: Connection, tenant: string, key: string, spec: LeafSpec, n: number): void {
  connection.run(INSERT, tenant, key, fingerprint(spec), n);
}
