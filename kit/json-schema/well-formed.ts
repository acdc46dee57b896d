import type { Violation } from "../errors.ts";

/** How deep schemas may lie in each other. */
export const MAX_SCHEMA_DEPTH = 32;

const TYPES = ["object", "array", "string", "number", "integer", "boolean", "null"];

type Report = (path: string, description: string) => void;
type Check = (value: unknown, path: string, walk: Walk) => void;

/** One look at a schema: where problems go, and how deep it is. */
interface Walk {
  readonly report: Report;
  readonly depth: number;
}

/** What each keyword has to look like. A keyword that is not here says nothing about form, or nothing at all. */
const KEYWORDS: Readonly<Record<string, Check>> = {
  type: (value, path, { report }) => {
    const types = Array.isArray(value) ? value : [value];
    const known = types.length > 0 && types.every((type) => TYPES.includes(type as string));
    if (!known) report(path, `must be ${TYPES.join(", ")}, or a list of them`);
  },
  required: (value, path, { report }) => {
    if (!isListOf(value, "string")) report(path, "must be a list of property names");
  },
  enum: (value, path, { report }) => {
    if (!Array.isArray(value) || value.length === 0) report(path, "must be a list of at least one value");
  },
  pattern: (value, path, { report }) => checkPattern(value, path, report),
  $ref: (value, path, { report }) => {
    if (typeof value !== "string") report(path, "must be a text");
  },
  ...named(["properties", "$defs", "definitions", "dependentSchemas"], schemaMap),
  ...named(["patternProperties"], (value, path, walk) => {
    for (const pattern of isObject(value) ? Object.keys(value) : []) checkPattern(pattern, `${path}.${pattern}`, walk.report);
    schemaMap(value, path, walk);
  }),
  ...named(["allOf", "anyOf", "oneOf", "prefixItems"], (value, path, walk) => {
    if (!Array.isArray(value) || value.length === 0) walk.report(path, "must be a list of at least one schema");
    else for (const [index, part] of value.entries()) checkSchema(part, `${path}[${index}]`, walk);
  }),
  ...named(["items"], (value, path, walk) => {
    if (!Array.isArray(value)) checkSchema(value, path, walk);
    else for (const [index, part] of value.entries()) checkSchema(part, `${path}[${index}]`, walk);
  }),
  ...named(
    ["additionalProperties", "additionalItems", "unevaluatedProperties", "unevaluatedItems", "contains", "propertyNames"],
    checkSchema,
  ),
  ...named(["not", "if", "then", "else"], checkSchema),
  ...named(["minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"], (value, path, { report }) => {
    if (!Number.isInteger(value) || Number(value) < 0) report(path, "must be a whole number, 0 or more");
  }),
  ...named(["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"], (value, path, { report }) => {
    if (typeof value !== "number") report(path, "must be a number");
  }),
  multipleOf: (value, path, { report }) => {
    if (typeof value !== "number" || value <= 0) report(path, "must be a number over 0");
  },
};

/** What is wrong with the form of a JSON Schema, with paths below `path`. */
export function formProblems(schema: unknown, path: string): Violation[] {
  const problems: Violation[] = [];
  checkSchema(schema, path, { report: (field, description) => problems.push({ field, description }), depth: -1 });
  return problems;
}

function checkSchema(schema: unknown, path: string, walk: Walk): void {
  if (typeof schema === "boolean") return;
  const depth = walk.depth + 1;
  if (depth > MAX_SCHEMA_DEPTH) walk.report(path, `is too deep: schemas may lie ${MAX_SCHEMA_DEPTH} deep in each other`);
  else if (!isObject(schema)) walk.report(path, "must be a schema: an object, true or false");
  else for (const [keyword, value] of Object.entries(schema)) ownCheck(keyword)?.(value, `${path}.${keyword}`, { ...walk, depth });
}

function schemaMap(value: unknown, path: string, walk: Walk): void {
  if (!isObject(value)) walk.report(path, "must be an object of schemas");
  else for (const [name, part] of Object.entries(value)) checkSchema(part, `${path}.${name}`, walk);
}

function checkPattern(value: unknown, path: string, report: Report): void {
  try {
    if (typeof value !== "string") report(path, "must be a regular expression");
    else new RegExp(value, "u");
  } catch {
    report(path, "must be a regular expression, as JavaScript takes it with the flag u");
  }
}

function ownCheck(keyword: string): Check | undefined {
  return Object.hasOwn(KEYWORDS, keyword) ? KEYWORDS[keyword] : undefined;
}

function named(keywords: readonly string[], check: Check): Record<string, Check> {
  return Object.fromEntries(keywords.map((keyword) => [keyword, check]));
}

function isListOf(value: unknown, type: string): boolean {
  return Array.isArray(value) && value.every((item) => typeof item === type);
}

/** A JSON object, and neither a list nor null. */
export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
