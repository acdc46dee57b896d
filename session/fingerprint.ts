import { createHash } from "node:crypto";
import { type JsonValue, toJson } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { HarnessError } from "@serverless-harness/kit/errors";
import { type LeafSpec, LeafSpecSchema } from "@serverless-harness/proto/leaf";

/**
 * What two specs that say the same have in common. The binary form of a message depends on the order in which a map was filled, so the
 * JSON form with sorted names is hashed.
 */
export function fingerprint(spec: LeafSpec): Buffer {
  return createHash("sha256")
    .update(JSON.stringify(sorted(toJson(LeafSpecSchema, spec))))
    .digest();
}

/** The error for an idempotency key that came with another spec before. */
export function keyReused(): HarnessError {
  const text = "this idempotency key was used for another leaf: send the same spec again, or choose another key";
  return new HarnessError(Code.AlreadyExists, "idempotency_key_reused", text);
}

function sorted(value: JsonValue): JsonValue {
  if (Array.isArray(value)) return value.map(sorted);
  if (value === null || typeof value !== "object") return value;
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([name, inner]) => [name, sorted(inner)]));
}
