import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { ConfigError } from "@serverless-harness/kit/env";
import { findProgram } from "../process/programs.ts";

/** What a jail for commands is made with; all paths are absolute. */
export interface JailFiles {
  /** Prepares what bwrap can't. */
  readonly cell: string;
  /** The filter of system calls. */
  readonly filter: string;
  /** Files that take the place of the machine's own. */
  readonly etc: string;
  readonly bwrap: string;
}

/** An empty file among those that take the place of the machine's. */
export const EMPTY = "empty";

/** The files beside this one. A {@link ConfigError} that says how to build or install what is missing. */
export function jailFiles(): JailFiles {
  const cell = fileURLToPath(new URL("./build/cell", import.meta.url));
  const filter = fileURLToPath(new URL("./build/filter.bpf", import.meta.url));
  const etc = fileURLToPath(new URL("./etc", import.meta.url));
  for (const path of [cell, filter])
    if (!existsSync(path)) throw new ConfigError(`${path} is missing: build it with \`sh hands/jail/build.sh\` (npm run setup does so)`);
  return { cell, filter, etc, bwrap: findBubblewrap() };
}

/** The path of bubblewrap. A {@link ConfigError} that says how to install it. */
export function findBubblewrap(): string {
  const bwrap = findProgram("bwrap");
  if (bwrap !== undefined) return bwrap;
  throw new ConfigError(
    "bubblewrap is not installed: install it (Debian: apt-get install bubblewrap), or set HANDS_SANDBOX=process to run commands unconfined",
  );
}
