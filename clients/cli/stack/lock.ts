import { setTimeout as sleep } from "node:timers/promises";
import { FileLock } from "@serverless-harness/kit/file-lock";
import { CliError, ExitCode } from "../errors.ts";
import type { StackPaths } from "./paths.ts";

/** How long one command waits for another to finish. */
const PATIENCE_MS = 60_000;
const POLL_MS = 50;

/**
 * Hold the lock of a state directory during `work`, so that commands which start and stop its processes take turns.
 * `waiting` is called once if another command holds it.
 */
export async function withStackLock<T>(paths: Pick<StackPaths, "dir" | "lock">, waiting: () => void, work: () => Promise<T>): Promise<T> {
  const lock = new FileLock(paths.lock);
  try {
    await acquire(lock, paths, waiting);
    return await work();
  } finally {
    lock.close();
  }
}

/**
 * As {@link withStackLock}, for a command that only ends things: if the disk is full or read-only, it works without the
 * lock. There no other command could start anything either.
 */
export async function withStackLockIfPossible<T>(paths: StackPaths, waiting: () => void, work: () => Promise<T>): Promise<T> {
  let begun = false;
  const once = (): Promise<T> => {
    begun = true;
    return work();
  };
  try {
    return await withStackLock(paths, waiting, once);
  } catch (error) {
    if (begun || error instanceof CliError) throw error;
    return await work();
  }
}

async function acquire(lock: FileLock, paths: Pick<StackPaths, "dir">, waiting: () => void): Promise<void> {
  const started = Date.now();
  for (let attempt = 0; ; attempt++) {
    if (lock.tryHold()) return;
    if (attempt === 0) waiting();
    if (Date.now() - started > PATIENCE_MS) {
      const message = `another \`leaf up\` or \`leaf down\` has been at work on ${paths.dir} for ${PATIENCE_MS / 1000} s: end it first`;
      throw new CliError(ExitCode.timeout, "locked", message);
    }
    await sleep(POLL_MS);
  }
}
