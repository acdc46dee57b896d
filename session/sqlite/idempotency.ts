import { createHash } from "node:crypto";
import { type JsonValue, toJson } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { HarnessError } from "@serverless-harness/kit/errors";
import { type LeafSpec, LeafSpecSchema } from "@serverless-harness/proto/leaf";
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
  const text = "this idempotency key was used for another leaf: send the same spec again, or choose another key";
  throw new HarnessError(Code.AlreadyExists, "idempotency_key_reused", text);
}

/** Remember for which leaf a key stands. */
export function rememberKey(connection: Connection, tenant: string, key: string, spec: LeafSpec, n: number): void {
  connection.run(INSERT, tenant, key, fingerprint(spec), n);
}

/** The binary form of a message depends on the order in which a map was filled, so the JSON form with sorted names is hashed. */
function fingerprint(spec: LeafSpec): Buffer {
  return createHash("sha256")
    .update(JSON.stringify(sorted(toJson(LeafSpecSchema, spec))))
    .digest();
}

function sorted(value: JsonValue): JsonValue {
  if (Array.isArray(value)) return value.map(sorted);
  if (value === null || typeof value !== "object") return value;
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([name, inner]) => [name, sorted(inner)]));
}
