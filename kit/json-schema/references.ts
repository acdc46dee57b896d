import type { Violation } from "../errors.ts";
import { isObject } from "./well-formed.ts";

const MAX_REFERENCES = 500;

/** Keywords whose schemas look at the same value as the schema that holds them. */
const IN_PLACE = ["allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas"];

/** References of a well-formed schema that lead nowhere, or round in a circle without ever looking at a part of the value. */
export function referenceProblems(root: unknown, path: string): Violation[] {
  const problems: Violation[] = [];
  let references = 0;
  visit(root, path, (schema, at) => {
    const reference = schema["$ref"];
    if (typeof reference !== "string" || ++references > MAX_REFERENCES) return;
    if (resolve(root, reference) === undefined) {
      problems.push({
        field: `${at}.$ref`,
        description: "must point into this schema, as #/$defs/name: nothing is fetched from elsewhere",
      });
    } else if (circles(root, schema, schema, new Set())) {
      problems.push({ field: `${at}.$ref`, description: "leads back to itself without a property or an item between" });
    }
  });
  if (references > MAX_REFERENCES) problems.push({ field: path, description: `must not have more than ${MAX_REFERENCES} references` });
  return problems;
}

/** Every object in a schema, enumerated values and the like included: what looks like a reference there is taken for one. */
function visit(value: unknown, path: string, look: (schema: Readonly<Record<string, unknown>>, path: string) => void): void {
  if (Array.isArray(value)) for (const [index, item] of value.entries()) visit(item, `${path}[${index}]`, look);
  if (!isObject(value)) return;
  look(value, path);
  for (const [key, part] of Object.entries(value)) visit(part, `${path}.${key}`, look);
}

/** What a reference points at; `undefined` if there is nothing. */
function resolve(root: unknown, reference: string): unknown {
  if (reference === "#") return root;
  if (!reference.startsWith("#/")) return undefined;
  let at: unknown = root;
  for (const step of reference.slice(2).split("/")) {
    const key = decode(step).replaceAll("~1", "/").replaceAll("~0", "~");
    if (typeof at !== "object" || at === null || !Object.hasOwn(at, key)) return undefined;
    at = (at as Readonly<Record<string, unknown>>)[key];
  }
  return isObject(at) || typeof at === "boolean" ? at : undefined;
}

/** Walking on from `schema` over what looks at the same value comes back to `goal`. */
function circles(root: unknown, goal: unknown, schema: unknown, seen: Set<unknown>): boolean {
  if (Array.isArray(schema)) return schema.some((part) => circles(root, goal, part, seen));
  if (!isObject(schema) || seen.has(schema)) return false;
  seen.add(schema);
  const reference = schema["$ref"];
  const next = typeof reference === "string" ? [resolve(root, reference)] : [];
  next.push(...IN_PLACE.flatMap((keyword) => partsOf(keyword, schema[keyword])));
  return next.some((part) => part === goal || circles(root, goal, part, seen));
}

function partsOf(keyword: string, value: unknown): unknown[] {
  if (keyword === "dependentSchemas") return isObject(value) ? Object.values(value) : [];
  return Array.isArray(value) ? value : [value];
}

function decode(step: string): string {
  try {
    return decodeURIComponent(step);
  } catch {
    return step;
  }
}
