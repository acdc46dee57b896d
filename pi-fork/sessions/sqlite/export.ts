import { DatabaseSync } from "node:sqlite";
import type { ArchiveHeader } from "../archive/line.ts";

/** How long a read waits for a writer that switches the log, in milliseconds. */
const READ_TIMEOUT_MS = 5000;
/** Lines that are made at once, before others may run. */
const PAGE = 500;

const SESSION = "SELECT created_at, parent_session_id, next_seq FROM sessions WHERE id = ?";
/** Every write that still counts, in order. SQLite sorts them outside of this process's memory where they are many. */
const WRITES = `SELECT seq, 'entry' AS kind, id AS a, parent_id AS b, type AS c, custom_type AS d, timestamp AS n, payload AS json
    FROM entries WHERE session_id = ?1
  UNION ALL SELECT seq, 'usage', id, entry_id, usage, NULL, adjustment, details FROM usage_ledger WHERE session_id = ?1
  UNION ALL SELECT seq, 'value', namespace, key, NULL, NULL, NULL, value FROM scalar_values WHERE session_id = ?1
  UNION ALL SELECT seq, 'list', namespace, key, NULL, NULL, NULL, value FROM list_values WHERE session_id = ?1
  ORDER BY seq`;

type Row = {
  seq: number;
  kind: string;
  a: string;
  b: string | null;
  c: string | null;
  d: string | null;
  n: number | null;
  json: string | null;
};
type SessionRow = { created_at: number; parent_session_id: string | null; next_seq: number };

/** A session's lines as it stands at the beginning, whoever writes to it meanwhile. Nothing if there is no such session. */
export async function* exportLines(path: string, id: string): AsyncGenerator<string, boolean> {
  const db = new DatabaseSync(path, { readOnly: true, timeout: READ_TIMEOUT_MS });
  try {
    // What is read in one transaction is of one moment.
    db.exec("BEGIN");
    const session = db.prepare(SESSION).get(id) as SessionRow | undefined;
    if (session === undefined) return false;
    const parent = session.parent_session_id === null ? {} : { parentSessionId: session.parent_session_id };
    const created = { createdAt: session.created_at, cwd: "/", nextSeq: session.next_seq };
    const header: ArchiveHeader = { v: 4, kind: "header", id, storageVersion: 1, ...created, ...parent };
    yield `${JSON.stringify(header)}\n`;
    let lines = 0;
    for (const row of db.prepare(WRITES).iterate(id)) {
      yield `${JSON.stringify(writeOf(row as unknown as Row))}\n`;
      if (++lines % PAGE === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    return true;
  } finally {
    db.close();
  }
}

function writeOf({ seq, kind, a, b, c, d, n, json }: Row): object {
  switch (kind) {
    case "entry":
      return {
        kind,
        id: a,
        parentId: b,
        seq,
        timestamp: n,
        type: c,
        ...(d === null ? {} : { customType: d }),
        ...JSON.parse(json ?? "{}"),
      };
    case "usage": {
      const details = json === null ? {} : { details: JSON.parse(json) };
      return { kind, id: a, seq, usage: JSON.parse(c ?? "{}"), ...(b === null ? {} : { entryId: b }), adjustment: n !== 0, ...details };
    }
    default:
      return { kind, op: kind === "value" ? "set" : "append", seq, namespace: a, key: b, value: JSON.parse(json ?? "null") };
  }
}
