import { closeSync, constants, type FSWatcher, openSync, watch, writeSync } from "node:fs";
import { ConfigError } from "@serverless-harness/kit/env";

const BYTE = new Uint8Array(1);

/**
 * A one-byte file beside the database that is written after every commit, so that other processes hear of it. The write-ahead log itself
 * can't be watched for that: it is written before its commit can be seen, and the commit's own mark is in shared memory, which no watch sees.
 */
export class SignalFile {
  readonly #path: string;
  readonly #fd: number;
  #open = true;

  constructor(databasePath: string) {
    this.#path = `${databasePath}-signal`;
    try {
      this.#fd = openSync(this.#path, constants.O_WRONLY | constants.O_CREAT, 0o644);
    } catch (error) {
      const code = error instanceof Error && "code" in error ? ` (${error.code})` : "";
      throw new ConfigError(`${this.#path} can't be written${code}: give this user write permission to the file and to its directory`);
    }
  }

  /** Tell other processes that something was committed. What can't be told now they find out by themselves, a little later. */
  send(): void {
    try {
      writeSync(this.#fd, BYTE, 0, 1, 0);
    } catch {
      // A hint only; watchers also look by themselves.
    }
  }

  /** Call `onSignal` for every signal, also this process's own. `undefined` if the system grants no watch. */
  watch(onSignal: () => void, onLost: () => void): FSWatcher | undefined {
    try {
      return watch(this.#path, onSignal).on("error", onLost);
    } catch {
      return undefined;
    }
  }

  /** Idempotent. */
  close(): void {
    if (this.#open) closeSync(this.#fd);
    this.#open = false;
  }
}
