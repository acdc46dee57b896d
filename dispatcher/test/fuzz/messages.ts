import { type DescField, type DescMessage, ScalarType } from "@bufbuild/protobuf";
import * as fc from "fast-check";
import type { Tree } from "./plants.ts";
import { json, key, misfit, text } from "./texts.ts";

/** Fields without which a call gets no further than its first check. */
const NEEDED = /^(?:spec|schedule|prompt|leaf_id|gate_id|kind|schedule_id|cron|token_id|subject|scopes|text|seq|url|fork|session_id|name)$/;
/** Deeper than any message of ours nests by itself. */
const MAX_DEPTH = 5;
const MOST_OTHERS = 3;
/** Of so many fields one holds what does not fit. */
const MISFIT_IN = 14;

/** A message in its JSON form: mostly as its schema has it, with a few fields as nobody expects them. */
export function message(desc: DescMessage, depth = 0): fc.Arbitrary<Tree> {
  if (desc.typeName === "google.protobuf.Struct") return fc.dictionary(key, json, { maxKeys: 3 });
  if (desc.typeName.startsWith("google.protobuf.")) return json;
  if (depth > MAX_DEPTH) return fc.constant({});
  const [needed, others] = [desc.fields.filter(isNeeded), desc.fields.filter((field) => !isNeeded(field))];
  const chosen = fc.tuple(
    fc.subarray(needed, { minLength: Math.max(0, needed.length - 1) }),
    fc.subarray(others, { maxLength: Math.min(MOST_OTHERS, others.length) }),
  );
  return chosen.chain(([some, more]) => {
    const entries = [...some, ...more].map((each) => fc.tuple(fc.constant(each.jsonName), field(each, depth)));
    return fc.tuple(...entries).map((pairs) => Object.fromEntries(pairs) as Tree);
  });
}

function isNeeded({ name }: DescField): boolean {
  return NEEDED.test(name);
}

function field(desc: DescField, depth: number): fc.Arbitrary<Tree> {
  return fc.oneof({ arbitrary: fitting(desc, depth), weight: MISFIT_IN - 1 }, { arbitrary: misfit, weight: 1 });
}

function fitting(desc: DescField, depth: number): fc.Arbitrary<Tree> {
  if (desc.fieldKind === "list") return fc.array(element(desc, depth), { maxLength: 3 });
  if (desc.fieldKind === "map") return fc.dictionary(key, element(desc, depth), { maxKeys: 3 });
  return element(desc, depth);
}

function element(desc: DescField, depth: number): fc.Arbitrary<Tree> {
  if (desc.message !== undefined) return message(desc.message, depth + 1);
  if (desc.enum !== undefined) return fc.constantFrom<Tree>(...desc.enum.values.map(({ name }) => name), 0, 1, 99, -1, "NO_SUCH_NAME");
  if (desc.scalar === ScalarType.STRING) return text(desc.name);
  if (desc.scalar === ScalarType.BOOL) return fc.boolean();
  if (desc.scalar === ScalarType.BYTES) return fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes).toString("base64"));
  return fc.constantFrom<Tree>(0, 1, 2, 100, 3600, -1, 2 ** 31 - 1, 2 ** 32, "9223372036854775807", "-9223372036854775808", 0.5);
}
