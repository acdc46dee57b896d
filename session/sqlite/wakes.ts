import { MAX_WAKE_KEYS } from "../contract/wait-rules.ts";
import type { Connection } from "./connection.ts";

const FIND = "SELECT used FROM harness_wakes WHERE n = ? AND key = ?";
const REMEMBER = "INSERT INTO harness_wakes (n, key, used) VALUES (?, ?, ?)";
const USE = "UPDATE harness_wakes SET used = 1 WHERE n = ? AND key = ?";
const FORGET_OLDEST = `DELETE FROM harness_wakes WHERE n = ?1 AND id <= (
  SELECT id FROM harness_wakes WHERE n = ?1 ORDER BY id DESC LIMIT 1 OFFSET ${MAX_WAKE_KEYS})`;
const FORGET = "DELETE FROM harness_wakes WHERE n = ?";

/** What became of a leaf's key: sent ahead of the suspend that will wait for it, used, or neither. */
export function wakeOf(connection: Connection, n: number, key: string): "sent" | "used" | undefined {
  const row = connection.one<{ used: number }>(FIND, n, key);
  if (row === undefined) return undefined;
  return row.used === 0 ? "sent" : "used";
}

/** Remember that a key was sent, or used. Whoever sends many makes the oldest forgotten. Inside the caller's transaction. */
export function rememberWake(connection: Connection, n: number, key: string, wake: "sent" | "used"): void {
  connection.run(REMEMBER, n, key, wake === "used" ? 1 : 0);
  connection.run(FORGET_OLDEST, n);
}

/** Use up a key that was sent ahead, inside the caller's transaction. False where there was no such wake. */
export function consumeWake(connection: Connection, n: number, key: string): boolean {
  return connection.run(USE, n, key) > 0;
}

/** Forget all keys of a leaf that is over, inside the caller's transaction. */
export function forgetWakes(connection: Connection, n: number): void {
  connection.run(FORGET, n);
}
