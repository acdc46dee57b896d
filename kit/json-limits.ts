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

/** Every text and name in the value is valid Unicode: half of a surrogate pair would come back as something else. */
export function isUnicode(value: unknown): boolean {
  if (typeof value === "string") return value.isWellFormed();
  if (typeof value !== "object" || value === null) return true;
  return Object.entries(value).every(([name, part]) => name.isWellFormed() && isUnicode(part));
}
