import { randomFillSync } from "node:crypto";

const BYTES = 12;
const pool = Buffer.alloc(BYTES * 256);
let used = pool.length;

/**
 * A name for one call of a script, 16 characters. The script keeps the last few of a leaf, so that one that is sent again, because its
 * answer was lost with a connection, does nothing twice.
 */
export function callId(): string {
  if (used === pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  used += BYTES;
  return pool.toString("base64url", used - BYTES, used);
}
