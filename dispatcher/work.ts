import type { JsonObject } from "@bufbuild/protobuf";
import { INEXACT_NUMBER, inexactNumber, isDeeper, isUnicode, MAX_JSON_DEPTH } from "@serverless-harness/kit/json-limits";
import type { Validation } from "@serverless-harness/kit/validate";
import { LeafKind, LeafKindSchema, type LeafSpec, type Repository, ThinkingLevelSchema } from "@serverless-harness/proto/leaf";
import { callerChecks } from "./caller-checks.ts";

const MAX_SCHEMA_BYTES = 64 * 1024;
const MAX_INPUT_BYTES = 1024 * 1024;
const MAX_URL_BYTES = 2048;
const MAX_REF_BYTES = 255;
/** `scheme://...` or `user@host:path`, as git takes them, or the absolute path of a repository in the sandbox. */
const URL_FORM = /^(?:(?:https|ssh|file):\/\/.+|[^@/:\s]+@[^@/:\s]+:.+|\/.+)$/;
/** A password would end in the leaf's record, and everybody who may read the leaf would have it. */
const CREDENTIALS = /^https:\/\/[^/]*@|^ssh:\/\/[^/@]*:[^/@]*@/;
const CONTROL_OR_SPACE = /[\s\p{Cc}]/u;

/** Check what the kind of a leaf asks for, and what only some kinds take. */
export async function checkWork(v: Validation, spec: LeafSpec): Promise<void> {
  const kinds = LeafKindSchema.values.map(({ name, number }) => (number === 0 ? "" : name)).filter((name) => name !== "");
  v.check("spec.kind", LeafKindSchema.value[spec.kind] !== undefined, `must be ${kinds.join(", ")}, or be left out for a turn`);
  const thinking = ThinkingLevelSchema.values.map(({ name }) => name);
  v.check("spec.thinking", ThinkingLevelSchema.value[spec.thinking] !== undefined, `must be one of ${thinking.join(", ")}`);
  if (spec.outputSchema !== undefined) await checkOutputSchema(v, spec.kind, spec.outputSchema);
  if (spec.input !== undefined) checkInput(v, spec.kind, spec.input);
  if (spec.repository !== undefined) checkRepository(v, spec.repository);
  else
    v.check(
      "spec.repository",
      spec.kind !== LeafKind.SOLVE || spec.fork !== undefined,
      "must be set for LEAF_KIND_SOLVE: it says what is worked on",
    );
}

async function checkOutputSchema(v: Validation, kind: LeafKind, schema: JsonObject): Promise<void> {
  const field = "spec.output_schema";
  v.check(field, kind === LeafKind.TASK, "is for LEAF_KIND_TASK only: other kinds have no structured result");
  const text = JSON.stringify(schema);
  v.maxBytes(field, text, MAX_SCHEMA_BYTES);
  v.check(field, isUnicode(schema), "must be valid Unicode");
  if (Buffer.byteLength(text) > MAX_SCHEMA_BYTES) return;
  const looked = await callerChecks.run("schemaProblems", schema, field);
  const slow = { field, description: "takes too long to check: refer to fewer schemas, or put fewer in each other" };
  for (const problem of looked?.value ?? [slow]) v.fail(problem.field, problem.description);
}

function checkInput(v: Validation, kind: LeafKind, input: JsonObject): void {
  v.check("spec.input", kind === LeafKind.TASK, "is for LEAF_KIND_TASK only: put it into the prompt");
  const text = JSON.stringify(input);
  v.check("spec.input", !isDeeper(input), `must not have more than ${MAX_JSON_DEPTH} objects and lists in each other`);
  v.maxBytes("spec.input", text, MAX_INPUT_BYTES);
  v.check("spec.input", isUnicode(input), "must be valid Unicode");
  const inexact = inexactNumber(input, "spec.input");
  if (inexact !== undefined) v.fail(inexact.path, INEXACT_NUMBER);
}

function checkRepository(v: Validation, { url, ref }: Repository): void {
  const form = URL_FORM.test(url) && !CONTROL_OR_SPACE.test(url) && Buffer.byteLength(url) <= MAX_URL_BYTES;
  v.check("spec.repository.url", form, `must be an https, ssh or file address of at most ${MAX_URL_BYTES} bytes`);
  v.check("spec.repository.url", !CREDENTIALS.test(url), "must hold no credentials: the sandbox has its own, or none");
  const name = ref === "" || (!ref.startsWith("-") && !CONTROL_OR_SPACE.test(ref) && Buffer.byteLength(ref) <= MAX_REF_BYTES);
  v.check(
    "spec.repository.ref",
    name,
    `must be a branch, tag or commit of at most ${MAX_REF_BYTES} bytes, or empty for the default branch`,
  );
}
