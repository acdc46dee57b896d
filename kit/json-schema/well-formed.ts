import type { Violation } from "../errors.ts";

const TYPES = ["object", "array", "string", "number", "integer", "boolean", "null"];

type Report = (path: string, description: string) => void;
type Check = (value: unknown, path: string, report: Report) => void;

/** What each keyword has to look like. A keyword that is not here says nothing about form, or nothing at all. */
const KEYWORDS: Readonly<Record<string, Check>> = {
  type: (value, path, report) => {
    const types = Array.isArray(value) ? value : [value];
    const known = types.length > 0 && types.every((type) => TYPES.includes(type as string));
    if (!known) report(path, `must be ${TYPES.join(", ")}, or a list of them`);
  },
  required: (value, path, report) => {
    if (!isListOf(value, "string")) report(path, "must be a list of property names");
  },
  enum: (value, path, report) => {
    if (!Array.isArray(value) || value.length === 0) report(path, "must be a list of at least one value");
  },
  pattern: (value, path, report) => checkPattern(value, path, report),
  $ref: (value, path, report) => {
    if (typeof value !== "string") report(path, "must be a text");
  },
  ...named(["properties", "$defs", "definitions", "dependentSchemas"], schemaMap),
  ...named(["patternProperties"], (value, path, report) => {
    for (const pattern of isObject(value) ? Object.keys(value) : []) checkPattern(pattern, `${path}.${pattern}`, report);
    schemaMap(value, path, report);
  }),
  ...named(["allOf", "anyOf", "oneOf", "prefixItems"], (value, path, report) => {
    if (!Array.isArray(value) || value.length === 0) report(path, "must be a list of at least one schema");
    else for (const [index, part] of value.entries()) checkSchema(part, `${path}[${index}]`, report);
  }),
  ...named(["items"], (value, path, report) => {
    if (!Array.isArray(value)) checkSchema(value, path, report);
    else for (const [index, part] of value.entries()) checkSchema(part, `${path}[${index}]`, report);
  }),
  ...named(
    ["additionalProperties", "additionalItems", "unevaluatedProperties", "unevaluatedItems", "contains", "propertyNames"],
    checkSchema,
  ),
  ...named(["not", "if", "then", "else"], checkSchema),
  ...named(["minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"], (value, path, report) => {
    if (!Number.isInteger(value) || Number(value) < 0) report(path, "must be a whole number, 0 or more");
  }),
  ...named(["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"], (value, path, report) => {
    if (typeof value !== "number") report(path, "must be a number");
  }),
  multipleOf: (value, path, report) => {
    if (typeof value !== "number" || value <= 0) report(path, "must be a number over 0");
  },
};

/** What is wrong with the form of a JSON Schema that is not too deep, with paths below `path`. */
export function formProblems(schema: unknown, path: string): Violation[] {
  const problems: Violation[] = [];
  checkSchema(schema, path, (field, description) => problems.push({ field, description }));
  return problems;
}

function checkSchema(schema: unknown, path: string, report: Report): void {
  if (typeof schema === "boolean") return;
  if (!isObject(schema)) report(path, "must be a schema: an object, true or false");
  else for (const [keyword, value] of Object.entries(schema)) ownCheck(keyword)?.(value, `${path}.${keyword}`, report);
}

function schemaMap(value: unknown, path: string, report: Report): void {
  if (!isObject(value)) report(path, "must be an object of schemas");
  else for (const [name, part] of Object.entries(value)) checkSchema(part, `${path}.${name}`, report);
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
