import { randomBytes } from "node:crypto";

const ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz";

/**
 * A new id: `<prefix>_` and 26 characters, of which the first 10 hold the time in milliseconds and the rest 80 random bits
 * (the layout of https://github.com/ulid/spec), so that ids sort by time.
 */
export function newId(prefix: string, nowMs: number = Date.now()): string {
  let time = "";
  for (let i = 0, rest = nowMs; i < 10; i++, rest = Math.floor(rest / 32)) time = ALPHABET.charAt(rest % 32) + time;
  const random = Array.from(randomBytes(16), (byte) => ALPHABET.charAt(byte % 32)).join("");
  return `${prefix}_${time}${random}`;
}
