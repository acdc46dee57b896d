import { mkdirSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { ConfigError } from "@serverless-harness/kit/env";
import { newId } from "@serverless-harness/kit/ids";
import { errnoOf } from "@serverless-harness/kit/paths/path-error";
import { writeDurably } from "../fs/durable.ts";

/** Holds the id of the state directory that it is in. */
const ID_FILE = "state-id";

/**
 * Take the state directory for this process alone, and return what lets go of it. Throws a ConfigError if another daemon has it: two of
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

/**
 * The id of the state directory: made with it, and the same for as long as it is there. Only for whoever has locked it. Throws a ConfigError if the file
 * that has it can't be read, or holds something else: whoever asks for it would take the sandbox for one that has lost everything.
 */
export async function stateIdOf(state: string): Promise<string> {
  const path = join(state, ID_FILE);
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") throw unusable(error instanceof Error ? error.message : String(error));
    const id = newId("state");
    await writeDurably(path, `${id}\n`);
    return id;
  }
  if (!/^state_[a-z0-9]{26}\n$/.test(text)) throw unusable("it holds no id");
  return text.trimEnd();
}

function unusable(why: string): ConfigError {
  const way = "put it back as it was, or remove it: then this counts as a new sandbox, and its sessions go on from their snapshots";
  return new ConfigError(`HANDS_STATE can't be used, as its file ${ID_FILE} can't be (${why}): ${way}`);
}
