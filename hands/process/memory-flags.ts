import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { compiledSources } from "@serverless-harness/kit/compiled";

/**
 * Flags of Node. A daemon has little to remember and passes much on: with a young generation of 1 MiB instead of 16
 * it is a sixth smaller at rest, and after a gigabyte of output it has grown by 25 MB instead of 75. Its old
 * generation is collected when it has grown by 40 %: left to itself, V8 lets 28 MB of live objects become up to 80
 * under load, whose memory stays resident (178 MB of it instead of 125, at one leaf a second with 200 workspaces),
 * and it is not faster for that. `--memory-saver-mode` comes down to 105 MB and costs 5 % of a command's latency.
 */
export const MEMORY_FLAGS = ["--max-semi-space-size=1", "--heap-growing-percent=40"] as const;

/** Variables of a process that saves memory. `root`: the project's directory. */
export function memoryEnvironment(root: string): Record<string, string> {
  return {
    // One heap for all threads: what one of them freed is of use to the others.
    MALLOC_ARENA_MAX: "1",
    ...compiledSources(root),
  };
}

/**
 * Make this process one that runs Node as {@link MEMORY_FLAGS} say, which can't be said from within: it starts again
 * in its own place, under the same pid and with the same `environment`. Returns if it is one already or can't become
 * one.
 */
export function restartWithMemoryFlags(environment: Readonly<NodeJS.ProcessEnv>): void {
  if (MEMORY_FLAGS.every((flag) => process.execArgv.includes(flag)) || process.execve === undefined) return;
  const root = fileURLToPath(new URL("../..", import.meta.url));
  const [script = "", ...args] = process.argv.slice(1);
  if (!existsSync(script)) return;
  process.execve(process.execPath, [process.execPath, ...MEMORY_FLAGS, ...process.execArgv, script, ...args], {
    ...environment,
    ...memoryEnvironment(root),
  });
}
