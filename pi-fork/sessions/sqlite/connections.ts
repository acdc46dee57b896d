import { DatabaseSync } from "node:sqlite";
import type { SqliteDatabaseFactory } from "@earendil-works/pi-session-backend-sqlite-node";
import { Connection, openDatabase } from "@serverless-harness/session/sqlite";
import { FencedDatabase, type Owner } from "./fenced-database.ts";

/** How long a read waits for a writer that switches the log, in milliseconds. */
const READ_TIMEOUT_MS = 5000;

interface Shared {
  readonly connection: Connection;
  users: number;
}

/**
 * One connection per database file, however many sessions of it are open: a session then costs no file handles, no page cache and no
 * preparing of statements. A connection closes after its last user.
 */
export class Connections {
  readonly #byPath = new Map<string, Shared>();

  /** Use the connection of a file until `release` is called. */
  acquire(path: string, create: boolean): { connection: Connection; release: () => void } {
    let shared = this.#byPath.get(path);
    if (shared === undefined) {
      shared = { connection: new Connection(openDatabase(path, { create })), users: 0 };
      this.#byPath.set(path, shared);
    }
    const used = shared;
    used.users++;
    return { connection: used.connection, release: () => this.#release(path, used) };
  }

  /** What Pi opens databases with. `owner` guards every transaction; `onClose` is called when Pi closes one. */
  factory(owner?: Owner, onClose: () => void = () => undefined): SqliteDatabaseFactory {
    const open = (path: string, create: boolean): FencedDatabase => {
      const { connection, release } = this.acquire(path, create);
      return new FencedDatabase(connection, owner, () => {
        release();
        onClose();
      });
    };
    return {
      open: async (path) => open(path, true),
      openExisting: async (path) => open(path, false),
      // Pi holds a read transaction on such a one, which must not meet another session's writes: it gets a connection of its own.
      openReadOnly: async (path) => {
        const connection = new Connection(new DatabaseSync(path, { readOnly: true, timeout: READ_TIMEOUT_MS }));
        return new FencedDatabase(connection, owner, () => connection.close());
      },
    };
  }

  #release(path: string, shared: Shared): void {
    shared.users--;
    if (shared.users > 0) return;
    this.#byPath.delete(path);
    shared.connection.close();
  }
}
