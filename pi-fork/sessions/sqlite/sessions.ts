import { realpathSync } from "node:fs";
import { dirname } from "node:path";
import { Code } from "@connectrpc/connect";
import { BACKGROUND_CONTEXT, type Session } from "@earendil-works/pi-agent-core";
import { SQLITE_STORAGE_VERSION, SqliteSessionRepo } from "@earendil-works/pi-session-backend-sqlite-node";
import { HarnessError } from "@serverless-harness/kit/errors";
import { type Fence, sessionKey } from "@serverless-harness/session";
import { assertFence, type Connection, SignalFile } from "@serverless-harness/session/sqlite";
import { EXPIRED_AT_ONCE, type Expiry, writeArchive } from "../archive/file.ts";
import { type Forked, forkSession } from "../contract/fork.ts";
import type { LeafEvents } from "../contract/leaf-events.ts";
import type { PiSessions, SessionName } from "../contract/sessions.ts";
import { Connections } from "./connections.ts";
import { exportLines } from "./export.ts";
import type { Owner } from "./fenced-database.ts";
import { importLines } from "./import.ts";
import { removeRows } from "./rows.ts";

type Metadata = Parameters<SqliteSessionRepo["open"]>[0];

const HAS_TABLE = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'sessions'";
const HAS_ENTRY = "SELECT 1 FROM entries WHERE session_id = ? LIMIT 1";
const HAS_SESSION = "SELECT 1 FROM sessions WHERE id = ?";

/** Pi's sessions in the SQLite leaf store's database, beside its tables. */
export class SqlitePiSessions implements PiSessions {
  readonly #connections = new Connections();
  readonly #connection: Connection;
  readonly #release: () => void;
  readonly #signal: SignalFile;
  /** The path as Pi resolves it, so that all of its sessions share the one connection. */
  readonly #path: string;
  /** One of Pi's repositories per open session, because a repository's factory can't tell for which session it opens. */
  readonly #open = new Map<string, SqliteSessionRepo>();
  #closing: Promise<void> | undefined;

  /** Open the database at an absolute path. Throws a ConfigError as `openLeafStore` does. */
  constructor(path: string) {
    // Makes the file if it is absent; only then can its path be resolved.
    const first = this.#connections.acquire(path, true);
    this.#path = realpathSync(path);
    const resolved = this.#connections.acquire(this.#path, false);
    first.release();
    this.#connection = resolved.connection;
    this.#release = resolved.release;
    this.#signal = new SignalFile(this.#path);
  }

  async open(fence: Fence, events?: LeafEvents): Promise<Session> {
    if (this.#closing !== undefined) throw closed();
    const owner = `${sessionKey(fence)}@${fence.epoch}`;
    if (this.#open.has(owner)) {
      throw new HarnessError(Code.FailedPrecondition, "session_open", "this owner has the session open already: close it first");
    }
    let handedOut = false;
    const signal = this.#signal;
    const owned = { fence, ...(events === undefined ? {} : { leaf: { events, signal } }) };
    const databaseFactory = this.#connections.factory(owned, () => {
      if (handedOut) this.#open.delete(owner);
    });
    const repo = new SqliteSessionRepo({ directory: dirname(this.#path), databasePath: this.#path, databaseFactory });
    this.#open.set(owner, repo);
    try {
      assertFence(this.#connection.db, fence);
      const session = await this.#openOrCreate(repo, sessionKey(fence));
      handedOut = true;
      return session;
    } catch (error) {
      this.#open.delete(owner);
      throw error;
    }
  }

  async fork(from: SessionName, entryId: string, fence: Fence): Promise<Forked> {
    if (this.#closing !== undefined) throw closed();
    assertFence(this.#connection.db, fence);
    const [own, other] = [this.#metadata(sessionKey(fence)), this.#metadata(sessionKey(from))];
    const read = async (metadata: Metadata): Promise<Session | undefined> =>
      this.#exists(metadata.id) ? this.#repo().open(metadata, BACKGROUND_CONTEXT) : undefined;
    return forkSession(
      {
        own: () => read(own),
        other: () => read(other),
        copy: (last) =>
          this.#repo({ fence }).fork(
            other,
            { scope: "branch", branch: "main", entryId: last, position: "at", id: own.id },
            BACKGROUND_CONTEXT,
          ),
      },
      entryId,
    );
  }

  async has(name: SessionName): Promise<boolean> {
    if (this.#closing !== undefined) throw closed();
    const id = sessionKey(name);
    return this.#exists(id) && this.#connection.one(HAS_ENTRY, id) !== undefined;
  }

  async *exportSession({ tenant, sessionId }: SessionName): AsyncGenerator<string> {
    const id = sessionKey({ tenant, sessionId });
    if (this.#exists(id) && (yield* exportLines(this.#path, id))) return;
    throw new HarnessError(Code.NotFound, "session_not_found", `there is no session ${id}`);
  }

  importSession({ tenant, sessionId }: SessionName, lines: AsyncIterable<string>): Promise<void> {
    return importLines(this.#connection, this.#path, sessionKey({ tenant, sessionId }), lines);
  }

  expireSessions(expiry: Expiry): Promise<string[]> {
    return expireSessions(this.#connection, this.#path, expiry);
  }

  close(): Promise<void> {
    this.#closing ??= this.#closeAll();
    return this.#closing;
  }

  async #openOrCreate(repo: SqliteSessionRepo, id: string): Promise<Session> {
    const existing = this.#metadata(id);
    if (this.#exists(id)) return repo.open(existing, BACKGROUND_CONTEXT);
    try {
      return await repo.create({ id }, BACKGROUND_CONTEXT);
    } catch (error) {
      // Another process may have made it meanwhile. A stale owner made nothing, so its error stands.
      if (error instanceof HarnessError || !this.#exists(id)) throw error;
      return repo.open(existing, BACKGROUND_CONTEXT);
    }
  }

  /** One of Pi's repositories, whose writes an owner guards. */
  #repo(owner?: Owner): SqliteSessionRepo {
    const databaseFactory = this.#connections.factory(owner);
    return new SqliteSessionRepo({ directory: dirname(this.#path), databasePath: this.#path, databaseFactory });
  }

  #metadata(id: string): Metadata {
    return { id, path: this.#path, createdAt: 0, storageVersion: SQLITE_STORAGE_VERSION };
  }

  #exists(id: string): boolean {
    return this.#connection.one(HAS_TABLE) !== undefined && this.#connection.one(HAS_SESSION, id) !== undefined;
  }

  async #closeAll(): Promise<void> {
    try {
      const closed = await Promise.allSettled([...this.#open.values()].map((repo) => repo.close(BACKGROUND_CONTEXT)));
      const errors = closed.flatMap((result) => (result.status === "rejected" ? [result.reason] : []));
      if (errors.length > 0) throw new AggregateError(errors, "not every session was closed in order");
    } finally {
      this.#signal.close();
      this.#release();
    }
  }
}

function closed(): HarnessError {
  return new HarnessError(Code.Unavailable, "store_closed", "the session store was closed in this process");
}

/** Sessions by the time of their newest entry; without one, of their making. */
const LAST_USED = `max(s.created_at, coalesce((SELECT timestamp FROM entries e WHERE e.session_id = s.id ORDER BY seq DESC LIMIT 1), 0))`;
const UNUSED = `NOT EXISTS (SELECT 1 FROM harness_leaves WHERE state < 6
  AND tenant = substr(s.id, 1, instr(s.id, '/') - 1) AND session_id = substr(s.id, instr(s.id, '/') + 1))`;
const IDLE = `SELECT s.id, s.next_seq FROM sessions s WHERE ${LAST_USED} <= ? AND ${UNUSED} LIMIT ?`;
const STILL = `SELECT 1 FROM sessions s WHERE s.id = ? AND s.next_seq = ? AND ${UNUSED}`;

/** Remove sessions that nobody uses; returns their ids. */
async function expireSessions(connection: Connection, path: string, expiry: Expiry): Promise<string[]> {
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
