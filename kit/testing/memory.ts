import { accessSync, constants, statfsSync } from "node:fs";
import { tmpdir } from "node:os";

const SHARED_MEMORY = "/dev/shm";
const NEEDED_BYTES = 1024 ** 3;

/**
 * Directory for what flushes to the disk with every write, as the stores of tests do: in memory, if this machine has room there. A flush
 * to a disk takes milliseconds, and nearly all of the tests' time on a store. A process that is killed leaves the same in both; no test
 * shows what the death of a machine leaves. Benchmarks use the disk. A run that is killed leaves its directories in memory: remove what a test made there.
 */
export const STORES: string = isUsable(SHARED_MEMORY) ? SHARED_MEMORY : tmpdir();

function isUsable(directory: string): boolean {
  try {
    accessSync(directory, constants.W_OK);
    const { bavail, bsize } = statfsSync(directory);
    return bavail * bsize >= NEEDED_BYTES;
  } catch {
    // There is none here.
    return false;
  }
}
