import { ApiError } from "./api-error.ts";

/** An object of JSON whose keys are not known yet. */
export type JsonObject = Readonly<Record<string, unknown>>;

/** A request's body as JSON. Throws a 400 if it is none. */
export function parseBody(source: string): unknown {
  try {
    return JSON.parse(source);
  } catch {
    throw new ApiError(400, "The request body is not valid JSON");
  }
}

/** `value` as an object, or a 400 that names it. */
export function object(name: string, value: unknown): JsonObject {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw wrong(name, "must be an object");
  return value as JsonObject;
}

/** `value` as a list, or a 400 that names it. */
export function list(name: string, value: unknown): readonly unknown[] {
  if (!Array.isArray(value)) throw wrong(name, "must be a list");
  return value;
}

/** `value` as a text, or a 400 that names it. */
export function text(name: string, value: unknown): string {
  if (typeof value !== "string") throw wrong(name, "must be a text");
  return value;
}

/** `value` as a number between two bounds, both allowed, or a 400 that names it. */
export function number(name: string, value: unknown, min: number, max: number): number {
  if (typeof value !== "number" || !(value >= min && value <= max)) throw wrong(name, `must be a number from ${min} to ${max}`);
  return value;
}

/** As {@link number}, without a fraction. */
export function integer(name: string, value: unknown, min: number, max: number): number {
  if (!Number.isInteger(value)) throw wrong(name, `must be a whole number from ${min} to ${max}`);
  return number(name, value, min, max);
}

/** Throws a 400 if `value` has a key that is not one of `known`: a misspelt key must not be ignored silently. */
export function onlyKeys(name: string, value: JsonObject, known: readonly string[]): void {
  const unknown = Object.keys(value).filter((key) => !known.includes(key));
  if (unknown.length > 0) throw wrong(name, `has no ${unknown.join(", ")}; known: ${known.join(", ")}`);
}

/** A 400 that names what is wrong. */
export function wrong(name: string, rule: string): ApiError {
  return new ApiError(400, `${name}: ${rule}`);
}
