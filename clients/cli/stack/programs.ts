import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";

/** What a stack runs from instead of the checkout: what is built or installed there later does not change it. */
export interface Version {
  /** A hash of its contents. */
  readonly id: string;
  /** Its directory, laid out as the checkout. */
  readonly root: string;
}

/** The program that starts a service, and starts it again if it dies. */
export const WATCHER_PROGRAM = "clients/cli/watcher/build/watcher";
export const NODE_PROGRAM = "node_modules/node/bin/node";

/** What each bundle is made of. The dispatcher starts the brain's bundle, which is beside its own; `leaf` is the command itself. */
const SOURCES = {
  brain: ["brain", "kit", "pi-fork", "proto", "session", "hands/client"],
  dispatcher: ["dispatcher", "kit", "pi-fork", "proto", "session", "hands/client"],
  hands: ["hands", "kit", "proto"],
  model: ["kit", "proto"],
  leaf: ["clients/cli", "kit", "proto"],
} as const;

type Bundled = keyof typeof SOURCES;

/** A program that the stack runs. */
export type Program = Exclude<Bundled, "leaf">;

/** Everything that a stack runs. */
export const PROGRAMS = Object.keys(SOURCES).filter((name): name is Program => name !== "leaf");

/** A program's bundle below the root of a checkout or of a version. */
export function bundleOf(program: Bundled): string {
  return `dist/${program}/main.mjs`;
}

/** The Node that runs a version: its own, unless `leaf` runs on one that is installed elsewhere, which no build replaces. */
export function nodeOf({ root }: Version): string {
  const own = join(root, NODE_PROGRAM);
  return existsSync(own) ? own : process.execPath;
}

export function watcherOf({ root }: Version): string {
  return join(root, WATCHER_PROGRAM);
}

/** Programs whose bundle is missing or older than one of its sources. `npm run setup` makes them. */
export function staleBundles(root: string): readonly Program[] {
  return PROGRAMS.filter((program) => !hasCurrentBundle(root, program));
}

/** Whether a program has a bundle that is newer than every source that it was made of. */
export function hasCurrentBundle(root: string, program: Bundled): boolean {
  const bundle = join(root, bundleOf(program));
  if (!existsSync(bundle)) return false;
  const made = statSync(bundle).mtimeMs;
  return !SOURCES[program].some((directory) => hasNewer(join(root, directory), made));
}

function hasNewer(directory: string, than: number): boolean {
  // Texts for people change no program.
  return readdirSync(directory, { withFileTypes: true }).some((entry) => {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) return entry.name !== "node_modules" && entry.name !== "test" && hasNewer(path, than);
    // Links of editors that lead nowhere, and files that were renamed meanwhile, change none either.
    return !entry.name.endsWith(".md") && (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0) > than;
  });
}
