import type { DatabaseSync, SQLInputValue, SQLOutputValue, StatementSync } from "node:sqlite";
import { type DescMessage, type MessageShape, toBinary } from "@bufbuild/protobuf";
import { requireSameFile } from "./database-file.ts";
import { translateSqliteError } from "./sqlite-error.ts";

/** A row as SQLite returns it. */
export type Row = Record<string, SQLOutputValue>;

/** A blob's column as SQLite returns it. */
export type Bytes = Uint8Array<ArrayBuffer>;

/** Statements that are kept; more than the fixed ones, so that only rare filters of a listing are ever prepared again. */
const KEPT_STATEMENTS = 256;

/** One open database: its statements are prepared once and kept. */
export class Connection {
  readonly db: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();

  constructor(db: DatabaseSync) {
    this.db = db;
  }

  /** The prepared statement of a text. Run it to its end at once: the next caller gets the same one. */
  statement(sql: string): StatementSync {
    const statement = this.#statements.get(sql) ?? this.db.prepare(sql);
    // Last in, last out: a Map keeps the order of insertion.
    this.#statements.delete(sql);
    this.#statements.set(sql, statement);
    if (this.#statements.size > KEPT_STATEMENTS) {
      for (const oldest of this.#statements.keys()) {
        this.#statements.delete(oldest);
        break;
      }
    }
    return statement;
  }

  /** The first row, or `undefined`. `T` says which columns the text selects. */
  one<T extends Row>(sql: string, ...params: SQLInputValue[]): T | undefined {
    return this.statement(sql).get(...params) as T | undefined;
  }

  /** Every row. `T` says which columns the text selects. */
  all<T extends Row>(sql: string, ...params: SQLInputValue[]): T[] {
    return this.statement(sql).all(...params) as T[];
  }

  /** Run a change; returns the number of rows changed. */
  run(sql: string, ...params: SQLInputValue[]): number {
    return Number(this.statement(sql).run(...params).changes);
  }

  /**
   * Run `work`, which must be synchronous, as one step that takes the write lock first: what it reads is still so when it writes.
   * Throws UNAVAILABLE `store_busy` if the lock can't be had, RESOURCE_EXHAUSTED `store_full` if the disk is full, DATA_LOSS `store_lost` if
   * the file is not the one that was opened.
   */
  transaction<T>(work: () => T): T {
    try {
      this.statement("BEGIN IMMEDIATE").run();
      try {
        requireSameFile(this.db);
        const result = work();
        this.statement("COMMIT").run();
        return result;
      } catch (error) {
        // Some errors, as a full disk, have rolled back already.
        if (this.db.isTransaction) this.statement("ROLLBACK").run();
        throw error;
      }
    } catch (error) {
      throw translateSqliteError(error);
    }
  }

  /** Close the database. Idempotent. */
  close(): void {
    this.#statements.clear();
    if (this.db.isOpen) this.db.close();
  }
}

/** A message as a column holds it; NULL if there is none. */
export function toBlob<T extends DescMessage>(schema: T, message: MessageShape<T> | undefined): Uint8Array | null {
  return message === undefined ? null : toBinary(schema, message);
}
