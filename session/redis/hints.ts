import type { Database } from "./database.ts";
import { HINT, HINTS } from "./database.ts";
import { list, type Reply, runScript, text } from "./scripts.ts";

/** Which partitions to ask. */
export interface Candidates {
  /** The one with the oldest leaf first. */
  readonly partitions: readonly number[];
  /** Milliseconds until another one may have something, or `undefined`. */
  readonly waitMs: number | undefined;
}

/**
 * The index of partitions that have something ready, in a slot of its own. It only says whom to ask first: what there is to claim, the
 * partition says. A process that dies between a step and its hint leaves the index behind the truth until somebody calls `repair`.
 */
export class Hints {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** Which partitions to ask. What became ready by time alone is put in its place first. */
  async candidates(): Promise<Candidates> {
    const [ready, due] = this.#database.names.hints;
    for (let again = false; ; again = true) {
      const reply = list(await runScript(this.#database.client, HINTS, [ready, due], [this.#database.time]));
      const [partitions = [], overdue = []] = [reply[1], reply[2]].map((each) => list(each).map((partition) => Number(text(partition))));
      const waitMs = text(reply[0]) === "" ? undefined : Number(text(reply[0]));
      if (overdue.length === 0) return { partitions, waitMs };
      await Promise.all(overdue.map((partition) => this.inspect(partition, again)));
    }
  }

  /** Tell the index what a script of a partition returned for it. */
  async tell(partition: number, news: Reply | undefined, overwrite = false): Promise<void> {
    const [version, ready, due] = list(news);
    if (version === undefined || version === null) return;
    const { client, names } = this.#database;
    await runScript(client, HINT, names.hints, [partition, text(version), text(ready), text(due), names.prefix, overwrite ? "1" : ""]);
  }

  /** Bring the index in line with one partition. */
  async inspect(partition: number, overwrite = false): Promise<void> {
    await this.tell(partition, await this.#database.run("inspect", partition), overwrite);
  }

  /** Bring the whole index in line with the partitions. */
  async repair(): Promise<void> {
    await Promise.all(this.#database.names.all().map((partition) => this.inspect(partition, true)));
  }
}
