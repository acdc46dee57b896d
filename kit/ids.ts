import { randomFillSync } from "node:crypto";

const ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz";
const RANDOM_CHARACTERS = 16;

/** Random bytes that were asked for ahead: one system call for 256 ids. */
const pool = Buffer.alloc(RANDOM_CHARACTERS * 256);
let used = pool.length;

/**
 * A new id: `<prefix>_` and 26 characters, of which the first 10 hold the time in milliseconds and the rest 80 random bits
 * (the layout of https://github.com/ulid/spec), so that ids sort by time.
 */
export function newId(prefix: string, nowMs: number = Date.now()): string {
  let time = "";
  for (let i = 0, rest = nowMs; i < 10; i++, rest = Math.floor(rest / 32)) time = ALPHABET.charAt(rest % 32) + time;
  if (used === pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  let random = "";
  for (const end = used + RANDOM_CHARACTERS; used < end; used++) random += ALPHABET.charAt(pool.readUInt8(used) % 32);
  return `${prefix}_${time}${random}`;
}
