import type { Connection } from "@serverless-harness/session/sqlite";
import { EXPIRED_AT_ONCE, type Expiry } from "../archive/expiry.ts";
import { writeArchive } from "../archive/file.ts";
import { exportLines } from "./export.ts";
import { removeRows } from "./rows.ts";

/** Sessions by the time of their newest entry; without one, of their making. */
const LAST_USED = `max(s.created_at, coalesce((SELECT timestamp FROM entries e WHERE e.session_id = s.id ORDER BY seq DESC LIMIT 1), 0))`;
const UNUSED = `NOT EXISTS (SELECT 1 FROM harness_leaves WHERE state < 6
  AND tenant = substr(s.id, 1, instr(s.id, '/') - 1) AND session_id = substr(s.id, instr(s.id, '/') + 1))`;
const IDLE = `SELECT s.id, s.next_seq FROM sessions s WHERE ${LAST_USED} <= ? AND ${UNUSED} LIMIT ?`;
const STILL = `SELECT 1 FROM sessions s WHERE s.id = ? AND s.next_seq = ? AND ${UNUSED}`;

/** Remove sessions that nobody uses; returns their ids. */
export async function expireSessions(connection: Connection, path: string, expiry: Expiry): Promise<string[]> {
  const { idleMs, limit = EXPIRED_AT_ONCE, archive } = expiry;
  if (connection.one("SELECT 1 FROM sqlite_schema WHERE name = 'sessions'") === undefined) return [];
  const removed: string[] = [];
  for (const { id, next_seq } of connection.all<{ id: string; next_seq: number }>(IDLE, Date.now() - idleMs, limit)) {
    // An import that was broken off is of no use to anybody.
    if (archive !== undefined && !id.startsWith("/")) await writeArchive(archive, id, exportLines(path, id));
    const gone = connection.transaction(() => {
      if (connection.one(STILL, id, next_seq) === undefined) return false;
      removeRows(connection, id);
      return true;
    });
    if (gone) removed.push(id);
  }
  return removed;
}
