import { type Dirent, readdirSync } from "node:fs";
import { setImmediate as nextTurn } from "node:timers/promises";
import { type Handle, openDirectory } from "@serverless-harness/kit/paths/handle";
import { errnoOf } from "@serverless-harness/kit/paths/path-error";
import { shownBytes, shownText } from "@serverless-harness/kit/paths/shown-name";
import { IgnoreRules } from "./gitignore.ts";
import { compareUtf8 } from "./order.ts";

/** What a walk comes by. */
export interface WalkEntry {
  /** Segments below the directory where the walk began, as they are shown. */
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
  readonly entries: Child[];
}

/** An entry of a directory. */
interface Child {
  /** As it is shown. */
  readonly name: string;
  /** {@link compareUtf8} puts those of one directory in the order of their names' bytes, a directory's name with a slash. */
  readonly key: string;
  readonly kind: WalkEntry["kind"];
}

/** What Node puts in place of bytes that are not UTF-8. */
const REPLACEMENT = "\ufffd";

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
      if (level.rules?.ignores([...options.base, ...path], entry.kind === "directory")) continue;
      yield { path, kind: entry.kind, directory: level.directory };
      if (entry.kind === "directory") {
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
  entries.sort((a, b) => compareUtf8(b.key, a.key));
  return { directory, path, rules, entries };
}

function childOf(entry: Dirent<string | Buffer>, shown: string, key: string): Child {
  if (entry.isDirectory()) return { name: shown, key: `${key}/`, kind: "directory" };
  return { name: shown, key, kind: entry.isFile() ? "file" : "other" };
}

function childrenOf(directory: Handle): Child[] {
  try {
    const entries = readdirSync(directory.path, { withFileTypes: true });
    if (!entries.some(({ name }) => name.includes(REPLACEMENT)))
      return entries.map((entry) => childOf(entry, shownText(entry.name), entry.name));
    // Some name may not be UTF-8, which is rare: only then is the price of bytes paid.
    return readdirSync(directory.path, { withFileTypes: true, encoding: "buffer" }).map((entry) =>
      childOf(entry, shownBytes(entry.name), entry.name.toString("latin1")),
    );
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
