import { DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";
import { Code } from "@connectrpc/connect";
import { HarnessError } from "@serverless-harness/kit/errors";

const SQLITE_BUSY = 5;
const MIN_WAIT_MS = 5;
const MAX_WAIT_MS = 50;

/**
 * Run `task` while no other process, and nobody else in this one, runs one under the lock of that file (made if it is missing, and left).
 * UNAVAILABLE `lock_timeout` after waiting for `waitMs`; the reason of `signal` if that comes before the task.
 *
 * The lock is the kernel's, taken by way of SQLite, as Node has no call for it: it ends with the process that holds it, however that ends, so
 * that there is nothing to find out about a holder that is gone, as one has to by pid, start time, boot and pid namespace where a lock
 * is a file's content.
 */
export async function withFileLock<T>(path: string, waitMs: number, task: () => Promise<T>, signal?: AbortSignal): Promise<T> {
  const database = new DatabaseSync(path, { timeout: 0 });
  try {
    await take(database, waitMs, signal);
    return await task();
  } finally {
    database.close();
  }
}

async function take(database: DatabaseSync, waitMs: number, signal: AbortSignal | undefined): Promise<void> {
  const deadline = performance.now() + waitMs;
  for (let wait = MIN_WAIT_MS; !tryToTake(database); wait = Math.min(wait * 2, MAX_WAIT_MS)) {
    if (performance.now() >= deadline) {
      throw new HarnessError(
        Code.Unavailable,
        "lock_timeout",
        "another process has been working on the same for too long: try again later",
      );
    }
    signal?.throwIfAborted();
    await sleep(wait);
  }
}

function tryToTake(database: DatabaseSync): boolean {
  try {
    database.exec("BEGIN EXCLUSIVE");
    return true;
  } catch (error) {
    if (error instanceof Error && "errcode" in error && error.errcode === SQLITE_BUSY) return false;
    throw error;
  }
}
