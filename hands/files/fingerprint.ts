import { createHash } from "node:crypto";

/** Hash of what a call asks for. Parts in a fixed order; no two lists of parts give the same text. */
export function fingerprint(...parts: ReadonlyArray<string | number | boolean | readonly string[]>): string {
  return createHash("sha256").update(JSON.stringify(parts)).digest("base64url");
}
