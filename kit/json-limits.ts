/**
 * Objects and lists that may lie in each other in JSON that travels in a message. Readers of protobuf stop at 100 messages in each other, and
 * each object takes three: what is deeper could be written and never be read.
 */
export const MAX_JSON_DEPTH = 24;

/** The value has more than `max` objects and lists in each other. */
export function isDeeper(value: unknown, max: number = MAX_JSON_DEPTH): boolean {
  if (typeof value !== "object" || value === null) return false;
  return max === 0 || Object.values(value).some((part) => isDeeper(part, max - 1));
}

/** The first whole number in the value that is too large to be kept exactly, and where it is; `undefined`: there is none. */
export function inexactNumber(value: unknown, path: string): { readonly path: string; readonly number: number } | undefined {
  if (typeof value === "number") return isInexact(value) ? { path, number: value } : undefined;
  if (typeof value !== "object" || value === null) return undefined;
  for (const [key, part] of Object.entries(value)) {
    const found = inexactNumber(part, Array.isArray(value) ? `${path}[${key}]` : `${path}.${key}`);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** Numbers from here on are written with an exponent: nobody takes them for counts or ids. */
const EXPONENT_FROM = 1e21;

function isInexact(value: number): boolean {
  return Number.isInteger(value) && !Number.isSafeInteger(value) && Math.abs(value) < EXPONENT_FROM;
}

/** What to do about an {@link inexactNumber}. */
export const INEXACT_NUMBER = `must be a text, since whole numbers beyond ${Number.MAX_SAFE_INTEGER} are not kept exactly`;

/** Every text and name in the value is valid Unicode: half of a surrogate pair would come back as something else. */
export function isUnicode(value: unknown): boolean {
  if (typeof value === "string") return value.isWellFormed();
  if (typeof value !== "object" || value === null) return true;
  return Object.entries(value).every(([name, part]) => name.isWellFormed() && isUnicode(part));
}
