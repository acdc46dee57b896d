import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { childEnvironment } from "../config.ts";

/** A directory of a benchmark's own. */
export interface Scratch {
  path(...names: string[]): string;
  remove(): Promise<void>;
}

/** Make one below the system's temporary directory. */
export async function scratch(): Promise<Scratch> {
  const directory = await mkdtemp(join(tmpdir(), "harness-bench-"));
  return { path: (...names) => join(directory, ...names), remove: () => rm(directory, { recursive: true, force: true }) };
}

/**
 * Start one of our programs with `environment` only; what it says goes to the file `log`. `flags` are Node's. Returns at once, so that no caller
 * misses its end.
 */
export function startProgram(
  main: string,
  log: string,
  environment: Readonly<Record<string, string>>,
  flags: readonly string[] = [],
): ChildProcess {
  const file = openSync(log, "a");
  try {
    return spawn(process.execPath, [...flags, main], { env: childEnvironment(environment), stdio: ["ignore", file, file] });
  } finally {
    closeSync(file);
  }
}

/** SIGTERM where it still runs; throws what it said where its end was no clean one. */
export async function stopProgram(child: ChildProcess, log: string): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) {
    const exited = once(child, "exit");
    child.kill("SIGTERM");
    await exited;
  }
  if (child.exitCode !== 0)
    throw new Error(`the process ended with ${child.exitCode ?? child.signalCode} and said:\n${await readFile(log, "utf8")}`);
}
