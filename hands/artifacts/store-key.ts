import { randomBytes } from "node:crypto";
import { existsSync, linkSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { ConfigError } from "@serverless-harness/kit/env";
import { newId } from "@serverless-harness/kit/ids";

/** A key has so many bytes at least. */
const MIN_BYTES = 32;

/** The key of an artifact store's users, from a file. ConfigError where it can't be read, or is too short to be one. */
export function readStoreKey(path: string): Buffer {
  let key: Buffer;
  try {
    key = readFileSync(path);
  } catch (error) {
    throw new ConfigError(`HANDS_ARTIFACTS_KEY_FILE can't be read (${error instanceof Error ? error.message : String(error)})`);
  }
  if (key.length >= MIN_BYTES) return key;
  throw new ConfigError(`HANDS_ARTIFACTS_KEY_FILE holds ${key.length} bytes: a key has at least ${MIN_BYTES}, made at random`);
}

/** The key of a store that has one user, this daemon; made where it is missing. */
export function ownStoreKey(path: string): Buffer {
  if (!existsSync(path)) {
    const fresh = `${path}.${newId("key")}`;
    writeFileSync(fresh, randomBytes(MIN_BYTES), { mode: 0o600, flag: "wx", flush: true });
    // By a link, so that the file is there as a whole or not at all.
    linkSync(fresh, path);
    rmSync(fresh);
  }
  return readStoreKey(path);
}
