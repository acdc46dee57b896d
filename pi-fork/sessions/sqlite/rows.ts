import type { Connection } from "@serverless-harness/session/sqlite";

/** Tables with rows of one of Pi's sessions, besides `sessions` itself. */
export const TABLES = ["entries", "scalar_values", "list_values", "usage_ledger", "branch_entries", "branch_meta"];

/** Remove every row of one of Pi's sessions, inside the caller's transaction. */
export function removeRows(connection: Connection, id: string): void {
  for (const table of TABLES) connection.run(`DELETE FROM ${table} WHERE session_id = ?`, id);
  connection.run("DELETE FROM sessions WHERE id = ?", id);
}
