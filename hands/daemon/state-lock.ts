import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { ConfigError } from "@serverless-harness/kit/env";

/**
 * Take the state directory for this process alone, and return what lets go of it. Throws a ConfigError where another daemon has it: two of
 * them would each run what the other one has run.
 *
 * The lock is the kernel's, by way of SQLite, as Node has no call for it: it ends with the process, however that ends, and it is seen across
 * jails and containers that share the directory.
 */
export function lockState(state: string): () => void {
  mkdirSync(state, { recursive: true, mode: 0o700 });
  try {
    const database = new DatabaseSync(join(state, "daemon.lock"), { timeout: 0 });
    database.exec("BEGIN EXCLUSIVE");
    return () => database.close();
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new ConfigError(`HANDS_STATE can't be locked (${why}): if another hands uses this directory, stop it or choose another one`);
  }
}
