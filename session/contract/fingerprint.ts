import { createHash } from "node:crypto";
import { type JsonValue, toJson } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { HarnessError } from "@serverless-harness/kit/errors";
import { type LeafSpec, LeafSpecSchema } from "@serverless-harness/proto/leaf";

type JsonObject = { [name: string]: JsonValue };

/** What a field that is left out means, by its place, as the contract says it. If that is the zero of its type, JSON leaves it out by itself. */
const DEFAULTS: JsonObject = {
  thinking: "THINKING_LEVEL_OFF",
  limits: { maxModelCalls: 200 },
  retry: { maxAttempts: 5, baseDelayMs: "1000", maxDelayMs: "60000" },
  gates: { onDeadline: "DECISION_KIND_REJECT" },
};

/** What callers write in JSON themselves: all of it counts. */
const OPAQUE: ReadonlySet<string> = new Set(["input", "outputSchema"]);

/**
 * What two specs that mean the same have in common, whatever of it is left out or said. The binary form of a message depends on the order in which a
 * map was filled, so the JSON form with sorted names is hashed.
 */
export function fingerprint(spec: LeafSpec): Buffer {
  const said = toJson(LeafSpecSchema, spec) as JsonObject;
  // What was read from a file is what the file held then: the caller said only where it is.
  if (spec.files !== undefined && spec.files.inputsRef !== "") delete said["input"];
  // Each request has its own.
  delete said["traceParent"];
  return createHash("sha256")
    .update(JSON.stringify(sorted(meaningOf(said, DEFAULTS))))
    .digest();
}

/** The error for an idempotency key that came with another spec before. */
export function keyReused(): HarnessError {
  const text = "this idempotency key was used for another leaf: send the same spec again, or choose another key";
  return new HarnessError(Code.AlreadyExists, "idempotency_key_reused", text);
}

/** A message without the fields that say what holds anyway, and without messages in it that say nothing then. */
function meaningOf(said: JsonObject, defaults: JsonObject): JsonObject {
  const meant: JsonObject = {};
  for (const [name, value] of Object.entries(said)) {
    if (value === defaults[name]) continue;
    if (!isObject(value) || OPAQUE.has(name)) {
      meant[name] = value;
      continue;
    }
    const inner = meaningOf(value, isObject(defaults[name]) ? defaults[name] : {});
    if (Object.keys(inner).length > 0) meant[name] = inner;
  }
  return meant;
}

function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function sorted(value: JsonValue): JsonValue {
  if (Array.isArray(value)) return value.map(sorted);
  if (!isObject(value)) return value;
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([name, inner]) => [name, sorted(inner)]));
}
