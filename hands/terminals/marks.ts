import { randomInt } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";

/**
 * Every process of a terminal carries a limit on POSIX message queues of its own, which is inherited over double forks, `setsid` and
 * empty environments (the keeper marks execs in the same way, in the range above this one: keeper/tree.c).
 */
const MARK_TOP = 219_200;
const MARK_COUNT = 200_000;

/** A process that has ended and waits for its parent to notice. */
const ZOMBIE = /\) [ZX] /;

/** Drawn by lot at first: another daemon on this machine counts in the same range, and neither must end the other's terminals. */
let last = randomInt(MARK_COUNT);

/** A mark that no terminal of this daemon carries. */
export function nextMark(): number {
  last = (last % MARK_COUNT) + 1;
  return MARK_TOP - last;
}

/** The arguments that start `argv` under a mark: the shell sets the limit and becomes the program. */
export function markedArgv(mark: number, argv: readonly string[]): string[] {
  return ["/bin/bash", "-c", 'ulimit -q "$0" && exec "$@"', String(mark), ...argv];
}

/** The living processes that carry a mark. */
export function marked(mark: number): number[] {
  const line = new RegExp(`^Max msgqueue size\\s+\\d+\\s+${mark}\\s`, "m");
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => line.test(read(`/proc/${pid}/limits`)) && !ZOMBIE.test(read(`/proc/${pid}/stat`)))
    .map(Number);
}

/** Signal every process that carries a mark. Returns how many there were. */
export function signalMarked(mark: number, signal: NodeJS.Signals): number {
  const pids = marked(mark);
  for (const pid of pids) {
    try {
      process.kill(pid, signal);
    } catch {
      // It ended meanwhile.
    }
  }
  return pids.length;
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
