import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { Code } from "@connectrpc/connect";
import { BACKGROUND_CONTEXT, type Session, type Write } from "@earendil-works/pi-agent-core";
import { createNodeSqliteFactory, SqliteSessionRepo, wrapNodeSqliteDatabase } from "@earendil-works/pi-session-backend-sqlite-node";
import { HarnessError } from "@serverless-harness/kit/errors";
import { newId } from "@serverless-harness/kit/ids";
import type { Connection } from "@serverless-harness/session/sqlite";
import { type ArchivedWrite, ArchiveReader, malformed } from "../archive/line.ts";
import { removeRows, TABLES } from "./rows.ts";

/** Writes that one commit takes. */
const BATCH = 500;
/** What an import is called until it is complete. No session's key begins so. */
const UNFINISHED = "/import/";
const EXISTS = "SELECT 1 FROM sessions WHERE id = ?";

/**
 * Write an archive's lines as a session, through Pi, which numbers them again: the order and every time stay. It is written under another
 * name and gets its own with the last line.
 */
export async function importLines(connection: Connection, path: string, id: string, lines: AsyncIterable<string>): Promise<void> {
  if (exists(connection, id)) throw sessionExists(id);
  const reader = new ArchiveReader();
  const source = lines[Symbol.asyncIterator]();
  const first = await source.next();
  const header = reader.header(first.done ? undefined : first.value);
  // Begun at this moment, so that nobody takes it for one that was broken off.
  let now = Date.now();
  const unfinished = `${UNFINISHED}${newId("s")}`;
  const databaseFactory = { ...createNodeSqliteFactory(), open: async () => unsynced(path) };
  const repo = new SqliteSessionRepo({ directory: dirname(path), databasePath: path, databaseFactory, now: () => now });
  const parentSessionId = header.parentSessionId;
  const session = await repo.create({ id: unfinished, ...(parentSessionId === undefined ? {} : { parentSessionId }) }, BACKGROUND_CONTEXT);
  try {
    let batch: { write: Write; line: number }[] = [];
    for (let next = await source.next(); !next.done; next = await source.next()) {
      for (const archived of reader.writes(next.value)) {
        // A commit has one time.
        if (batch.length >= BATCH || (archived.kind === "entry" && archived.timestamp !== now)) {
          await commit(session, batch);
          batch = [];
        }
        if (archived.kind === "entry") now = archived.timestamp;
        batch.push({ write: writeOf(archived), line: reader.line });
      }
    }
    await commit(session, batch);
    await session.close(BACKGROUND_CONTEXT);
    rename(connection, unfinished, id, header.createdAt);
  } catch (error) {
    await session.close(BACKGROUND_CONTEXT);
    connection.transaction(() => removeRows(connection, unfinished));
    throw error;
  }
}

function rename(connection: Connection, from: string, to: string, createdAt: number): void {
  connection.transaction(() => {
    if (exists(connection, to)) throw sessionExists(to);
    for (const table of TABLES) connection.run(`UPDATE ${table} SET session_id = ? WHERE session_id = ?`, to, from);
    connection.run("UPDATE sessions SET id = ?, created_at = ? WHERE id = ?", to, createdAt, from);
  });
}

async function commit(session: Session, batch: readonly { write: Write; line: number }[]): Promise<void> {
  if (batch.length === 0) return;
  const all = batch.map(({ write }) => write);
  const make = (writes: Write[]) => session.mutate((mutator) => mutator.commit(writes, BACKGROUND_CONTEXT), BACKGROUND_CONTEXT);
  try {
    await make(all);
  } catch (error) {
    // One by one, to tell which.
    for (const { write, line } of batch) {
      await make([write]).catch((cause: unknown) => {
        const text = cause instanceof Error ? cause.message : "";
        if (/missing parent/i.test(text)) throw malformed(line, "parentId", "names no entry before it");
        if (/duplicate|UNIQUE/i.test(text)) throw malformed(line, "id", "is on an earlier line as well");
        throw cause;
      });
    }
    throw error;
  }
}

function writeOf(archived: ArchivedWrite): Write {
  if (archived.kind === "entry") {
    const { kind, seq: _, timestamp: __, ...entry } = archived;
    return { kind, entry } as Write;
  }
  if (archived.kind === "usage") {
    const { kind, seq: _, ...row } = archived;
    return { kind, row };
  }
  const { seq: _, ...write } = archived;
  return write as Write;
}

/** A connection whose commits are synced by the next one elsewhere: all of them are of no use before the last. */
function unsynced(path: string) {
  const db = new DatabaseSync(path);
  db.exec("PRAGMA synchronous = NORMAL");
  return wrapNodeSqliteDatabase(db);
}

function exists(connection: Connection, id: string): boolean {
  return connection.one("SELECT 1 FROM sqlite_schema WHERE name = 'sessions'") !== undefined && connection.one(EXISTS, id) !== undefined;
}

function sessionExists(id: string): HarnessError {
  return new HarnessError(Code.AlreadyExists, "session_exists", `there is a session ${id} already: choose another name`);
}
