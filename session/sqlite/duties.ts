import type { Connection } from "./connection.ts";

const TAKE = `INSERT INTO harness_duties (duty, holder, until_ms) VALUES (?1, ?2, ?3)
  ON CONFLICT (duty) DO UPDATE SET holder = ?2, until_ms = ?3 WHERE holder = ?2 OR until_ms <= ?4`;
const LEAVE = "DELETE FROM harness_duties WHERE duty = ? AND holder = ?";

/** Take a duty that nobody has, or keep one, inside the caller's transaction. */
export function takeDuty(connection: Connection, nowMs: number, duty: string, holder: string, ttlMs: number): boolean {
  return connection.run(TAKE, duty, holder, nowMs + ttlMs, nowMs) === 1;
}

/** Let go of a duty, inside the caller's transaction. */
export function leaveDuty(connection: Connection, duty: string, holder: string): void {
  connection.run(LEAVE, duty, holder);
}
