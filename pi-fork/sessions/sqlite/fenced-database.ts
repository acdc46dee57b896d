import type { SQLInputValue } from "node:sqlite";
import type { SqliteDatabase, SqliteRunResult, SqliteStatement } from "@earendil-works/pi-session-backend-sqlite-node";
import type { Fence } from "@serverless-harness/session";
import { appendEvents, assertFence, type Connection, requireOwner, type SignalFile } from "@serverless-harness/session/sqlite";
import type { LeafEvents } from "../contract/leaf-events.ts";

/** Events that go with one transaction. */
const MAX_EVENTS = 500;

/** Who writes to a session. */
export interface Owner {
  readonly fence: Fence;
  /** Of the leaf that runs on the session, and what tells its followers. */
  readonly leaf?: { readonly events: LeafEvents; readonly signal: SignalFile };
}

/**
 * What Pi sees of a database: every transaction first proves that its owner still is the session's, under the lock that it then commits
 * with, and takes along what the leaf's log is to hold. Pi's backend alone takes the commits of any process. Several of these may stand on one connection, each with its own fence: Pi
 * runs a transaction from begin to end without a pause, so none gets between another's.
 */
export class FencedDatabase implements SqliteDatabase {
  readonly #connection: Connection;
  readonly #owner: Owner | undefined;
  readonly #onClose: () => void;
  #open = true;

  /** Without an owner, transactions are as Pi's own. */
  constructor(connection: Connection, owner: Owner | undefined, onClose: () => void) {
    this.#connection = connection;
    this.#owner = owner;
    this.#onClose = onClose;
  }

  exec(sql: string): void {
    this.#connection.db.exec(sql);
  }

  prepare(sql: string): SqliteStatement {
    // Prepared at once, as Pi expects of a wrong statement to be told; after that it is kept for all.
    this.#connection.statement(sql);
    return new KeptStatement(this.#connection, sql);
  }

  transaction<T>(callback: () => T): T {
    const { fence, leaf } = this.#owner ?? {};
    const batch = leaf?.events.take(MAX_EVENTS);
    try {
      const result = this.#connection.transaction(() => {
        if (fence !== undefined) assertFence(this.#connection.db, fence);
        const made = callback();
        if (isThenable(made)) throw new TypeError("a transaction's callback must be synchronous");
        if (fence !== undefined && leaf !== undefined && batch !== undefined) {
          const { n } = requireOwner(this.#connection, { leaf: leaf.events, fence });
          appendEvents(this.#connection, n, Date.now(), batch.events);
        }
        return made;
      });
      batch?.written();
      if (batch !== undefined) leaf?.signal.send();
      return result;
    } catch (error) {
      batch?.failed(error, false);
      throw error;
    }
  }

  close(): void {
    if (this.#open) this.#onClose();
    this.#open = false;
  }
}

/** Pi prepares a statement again for each use; this one is prepared once per connection. Rows are read to the end before anything else runs. */
class KeptStatement implements SqliteStatement {
  readonly #connection: Connection;
  readonly #sql: string;

  constructor(connection: Connection, sql: string) {
    this.#connection = connection;
    this.#sql = sql;
  }

  run(...params: unknown[]): SqliteRunResult {
    const { changes, lastInsertRowid } = this.#connection.statement(this.#sql).run(...(params as SQLInputValue[]));
    return { changes: Number(changes), lastInsertRowid: Number(lastInsertRowid) };
  }

  get<T extends object>(...params: unknown[]): T | undefined {
    return this.#connection.statement(this.#sql).get(...(params as SQLInputValue[])) as T | undefined;
  }

  all<T extends object>(...params: unknown[]): T[] {
    return this.#connection.statement(this.#sql).all(...(params as SQLInputValue[])) as T[];
  }

  iterate<T extends object>(...params: unknown[]): Iterable<T> {
    return this.all<T>(...params);
  }
}

function isThenable(value: unknown): boolean {
  return typeof value === "object" && value !== null && "then" in value;
}
