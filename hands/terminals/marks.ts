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

/** Variables that a shell drops where nobody types to it. */
const PROMPTS = ["PS1", "PS2"] as const;

/** The arguments that start `argv` under a mark, with `env`: a shell sets the limit and becomes the program. */
export function markedArgv(mark: number, argv: readonly string[], env: Readonly<Record<string, string>>): string[] {
  const prompts = PROMPTS.flatMap((name) => (env[name] === undefined ? [] : [{ name, value: env[name] }]));
  const script = ['ulimit -q "$0"', ...prompts.map(({ name }) => `export ${name}="$1" && shift`), 'exec "$@"'].join(" && ");
  return ["/bin/bash", "-c", script, String(mark), ...prompts.map(({ value }) => value), ...argv];
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
