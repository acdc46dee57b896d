import { type Dirent, readdirSync } from "node:fs";
import { setImmediate as nextTurn } from "node:timers/promises";
import { errnoOf } from "./fs-error.ts";
import { IgnoreRules } from "./gitignore.ts";
import { type Handle, openDirectory } from "./handle.ts";
import { compareUtf8 } from "./order.ts";

/** What a walk comes by. */
export interface WalkEntry {
  /** Segments below the directory where the walk began. */
  readonly path: readonly string[];
  readonly kind: "file" | "directory" | "other";
  /** The directory that holds it; only until the walk goes on. */
  readonly directory: Handle;
}

/** How to walk. */
export interface WalkOptions {
  /** Segments from the workspace to the directory where the walk begins. */
  readonly base: readonly string[];
  /** What is ignored there already; `undefined` to ignore nothing at all. */
  readonly ignore: { readonly rules: IgnoreRules | undefined } | undefined;
  /** Asked every few milliseconds; throws to end the walk. */
  readonly checkpoint: () => void;
}

/** A directory that is being walked. */
interface Level {
  readonly directory: Handle;
  readonly path: readonly string[];
  readonly rules: IgnoreRules | undefined;
  readonly entries: Dirent[];
}

/** The walk gives way to the rest of the daemon after so long. */
const SLICE_MS = 10;

/**
 * Everything below a directory, but what .gitignore files exclude, and `.git`. In the order of the paths' bytes, where a directory's end
 * with a slash. Symlinks are not followed: each directory is opened through the one above (see {@link Handle}). What can't be opened, or is
 * gone by then, is left out.
 */
export async function* walk(start: Handle, options: WalkOptions): AsyncGenerator<WalkEntry> {
  const levels: Level[] = [];
  try {
    levels.push(enter(start, [], options, options.ignore?.rules));
    let slice = performance.now();
    for (let level = levels.at(-1); level !== undefined; level = levels.at(-1)) {
      const entry = level.entries.pop();
      if (entry === undefined) {
        if (levels.length > 1) level.directory[Symbol.dispose]();
        levels.pop();
        continue;
      }
      const path = [...level.path, entry.name];
      if (level.rules?.ignores([...options.base, ...path], entry.isDirectory())) continue;
      yield { path, kind: kindOf(entry), directory: level.directory };
      if (entry.isDirectory()) {
        const below = open(level.directory, entry.name);
        if (below !== undefined) levels.push(enter(below, path, options, level.rules));
      }
      if (performance.now() - slice > SLICE_MS) {
        options.checkpoint();
        await nextTurn();
        slice = performance.now();
      }
    }
  } finally {
    for (const level of levels.slice(1)) level.directory[Symbol.dispose]();
  }
}

function enter(directory: Handle, path: readonly string[], options: WalkOptions, above: IgnoreRules | undefined): Level {
  const rules = options.ignore === undefined ? undefined : IgnoreRules.of(directory, options.base.length + path.length, above);
  // The last one is taken first.
  const entries = childrenOf(directory).filter((entry) => entry.name !== ".git");
  entries.sort((a, b) => compareUtf8(sortKey(b), sortKey(a)));
  return { directory, path, rules, entries };
}

function sortKey(entry: Dirent): string {
  return entry.isDirectory() ? `${entry.name}/` : entry.name;
}

function kindOf(entry: Dirent): WalkEntry["kind"] {
  if (entry.isDirectory()) return "directory";
  return entry.isFile() ? "file" : "other";
}

function childrenOf(directory: Handle): Dirent[] {
  try {
    return readdirSync(directory.path, { withFileTypes: true });
  } catch (error) {
    if (errnoOf(error) === "EACCES") return [];
    throw error;
  }
}

function open(directory: Handle, name: string): Handle | undefined {
  try {
    return openDirectory(directory.child(name));
  } catch (error) {
    if (["ENOENT", "ENOTDIR", "ELOOP", "EACCES"].includes(errnoOf(error) ?? "")) return undefined;
    throw error;
  }
}
