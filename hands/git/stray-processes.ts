import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { Code } from "@connectrpc/connect";
import { HarnessError } from "@serverless-harness/kit/errors";
import { errnoOf } from "@serverless-harness/kit/paths/path-error";

const POLL_MS = 5;
const PATIENCE_MS = 10_000;

/**
 * Kill every git that works in a directory (real path), and wait until they are gone. For directories of the daemon's
 * own, while it holds the lock on them: a daemon that was killed leaves its git running. UNAVAILABLE `lock_timeout`
 * if one does not go.
 */
export async function killStrays(directory: string): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS;
  for (let strays = workingIn(directory); strays.length > 0; strays = workingIn(directory)) {
    if (performance.now() > deadline) {
      throw new HarnessError(Code.Unavailable, "lock_timeout", "a git process of an earlier daemon does not end: try again later");
    }
    for (const pid of strays) {
      // Each git that was started leads a group of its own, with whatever it has started.
      kill(-pid);
      kill(pid);
    }
    await sleep(POLL_MS);
  }
}

function workingIn(directory: string): number[] {
  const pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  return pids.map(Number).filter((pid) => isIn(pid, directory));
}

function isIn(pid: number, directory: string): boolean {
  try {
    const cwd = readlinkSync(`/proc/${pid}/cwd`);
    return (cwd === directory || cwd.startsWith(`${directory}/`)) && readFileSync(`/proc/${pid}/comm`, "latin1").startsWith("git");
  } catch {
    // It is gone, or another user's.
    return false;
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if (errnoOf(error) !== "ESRCH") throw error;
  }
}
