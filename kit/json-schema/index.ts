import Schema from "typebox/schema";
import type { Violation } from "../errors.ts";
import { isDeeper, MAX_JSON_DEPTH } from "../json-limits.ts";
import { referenceProblems } from "./references.ts";
import { formProblems, isObject } from "./well-formed.ts";

/** A JSON Schema of an object, as parsed JSON. */
export type ObjectSchema = Readonly<Record<string, unknown>>;

/** Says what is wrong with a value: one line for each of the first problems, none if it matches. */
export type SchemaCheck = (value: unknown) => string[];

/**
 * What keeps a schema from being used for an object, with paths below `path`; empty if nothing does. A schema that was made for it can have this
 * take for ever: call it in a side thread.
 */
export function schemaProblems(schema: ObjectSchema, path: string): Violation[] {
  if (isDeeper(schema)) return [{ field: path, description: `must not have more than ${MAX_JSON_DEPTH} objects and lists in each other` }];
  const problems = formProblems(schema, path);
  if (schema["type"] !== "object") problems.push({ field: `${path}.type`, description: 'must be "object": the result is an object' });
  if (problems.length > 0) return problems;
  problems.push(...referenceProblems(schema, path));
  if (problems.length > 0) return problems;
  try {
    Schema.Compile(bare(schema) as ObjectSchema).Check(bare({}));
    return [];
  } catch {
    return [{ field: path, description: "can't be compiled: write it as JSON Schema 2020-12" }];
  }
}

/**
 * Compile a schema that {@link schemaProblems} has nothing against. The check looks at a value's own properties only. It can take for ever as well,
 * whatever it is given.
 */
export function compileSchema(schema: ObjectSchema): SchemaCheck {
  const validator = Schema.Compile(bare(schema) as ObjectSchema);
  return (value) => {
    const [ok, errors] = validator.Errors(bare(value));
    if (ok) return [];
    // That a property is "false" says the same as that it is one too many, in worse words.
    const lines = new Set(errors.filter(({ keyword }) => keyword !== "boolean").map(problemLine));
    return lines.size > 0 ? [...lines] : ["the result: does not match the schema"];
  };
}

/** A copy whose objects inherit nothing, so that no name of `Object.prototype` is taken for a property. */
function bare(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(bare);
  if (!isObject(value)) return value;
  const copy = Object.create(null) as Record<string, unknown>;
  for (const [key, part] of Object.entries(value)) copy[key] = bare(part);
  return copy;
}

type SchemaError = ReturnType<ReturnType<typeof Schema.Compile>["Errors"]>[1][number];

function problemLine({ keyword, instancePath, message, params }: SchemaError): string {
  const field = instancePath === "" ? "the result" : instancePath.slice(1).replaceAll("/", ".");
  if (keyword === "enum" && "allowedValues" in params) return `${field}: must be one of ${JSON.stringify(params.allowedValues)}`;
  if (keyword === "const" && "allowedValue" in params) return `${field}: must be ${JSON.stringify(params.allowedValue)}`;
  if (keyword === "additionalProperties" && "additionalProperties" in params)
    return `${field}: must not have ${(params.additionalProperties as string[]).join(", ")}`;
  return `${field}: ${message}`;
}
