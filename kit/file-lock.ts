import { chmodSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";

/** SQLite's code for a lock that somebody else holds, https://www.sqlite.org/rescode.html */
const BUSY = 5;

/**
 * A lock that a process holds on a file of its own. It is SQLite's: the system frees it with the process that held it, however that ended, while a file
 * that names its owner has to be taken over, and two takers of a stale one can both win.
 */
export class FileLock {
  readonly #database: DatabaseSync;

  /** Open the file, which is made if it is not there, for its owner alone. Nothing is held yet. */
  constructor(path: string) {
    this.#database = new DatabaseSync(path, { timeout: 0 });
    try {
      chmodSync(path, 0o600);
    } catch (error) {
      this.#database.close();
      throw error;
    }
  }

  /** Hold it; false if somebody else does. */
  tryHold(): boolean {
    try {
      this.#database.exec("BEGIN EXCLUSIVE");
      return true;
    } catch (error) {
      if ((error as { errcode?: number }).errcode === BUSY) return false;
      throw error;
    }
  }

  /** Let go of it. */
  close(): void {
    this.#database.close();
  }
}
