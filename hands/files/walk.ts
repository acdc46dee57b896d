import { type Dirent, readdirSync } from "node:fs";
import { setImmediate as nextTurn } from "node:timers/promises";
import type { Handle } from "@serverless-harness/kit/paths/handle";
import { errnoOf } from "@serverless-harness/kit/paths/path-error";
import { type ByteName, type BytePath, openChildDirectory, shownName } from "../fs/byte-names.ts";
import { type IgnoreRules, rulesForSearch } from "../ignore/ignore-rules.ts";

export interface WalkEntry {
  /** Segments below the directory where the walk began, as they are shown. */
  readonly path: readonly string[];
  readonly kind: "file" | "directory" | "other";
  /** The directory that holds it, valid until the walk goes on. */
  readonly directory: Handle;
}

export interface WalkOptions {
  /** Path from the workspace to the directory where the walk begins, with a slash at the end unless it is empty. */
  readonly base: BytePath;
  /** The rules that hold there already; `undefined` to ignore nothing at all. */
  readonly ignore: { readonly rules: IgnoreRules | undefined } | undefined;
  /** Asked every few milliseconds; throws to end the walk. */
  readonly checkpoint: () => void;
}

interface Level {
  readonly directory: Handle;
  /** As {@link WalkEntry.path}. */
  readonly shown: readonly string[];
  /** Path from the workspace, with a slash at the end. */
  readonly path: BytePath;
  readonly rules: IgnoreRules | undefined;
  readonly entries: Child[];
}

interface Child {
  readonly name: ByteName;
  /** The name, with a slash at the end for a directory: what entries are sorted by. */
  readonly key: ByteName;
  readonly kind: WalkEntry["kind"];
}

/** The walk gives way to the rest of the daemon after this time. */
const SLICE_MS = 10;

/**
 * Walks everything below a directory except `.git` and what .gitignore files exclude, in the order of the paths'
 * bytes, where a directory's path ends with a slash. Symlinks are not followed: each directory is opened by the one
 * above (see {@link Handle}). Skips what can't be opened or is gone by then.
 */
export async function* walk(start: Handle, options: WalkOptions): AsyncGenerator<WalkEntry> {
  const levels: Level[] = [];
  const enter = (directory: Handle, shown: readonly string[], path: BytePath, above: IgnoreRules | undefined): void => {
    const rules = options.ignore === undefined ? undefined : rulesForSearch(directory, path, above);
    levels.push({ directory, shown, path, rules, entries: childrenOf(directory) });
  };
  try {
    enter(start, [], options.base, options.ignore?.rules);
    let slice = performance.now();
    for (let level = levels.at(-1); level !== undefined; level = levels.at(-1)) {
      // Before the entry: those that are ignored take their time too.
      if (performance.now() - slice > SLICE_MS) {
        options.checkpoint();
        await nextTurn();
        slice = performance.now();
      }
      const entry = level.entries.pop();
      if (entry === undefined) {
        if (levels.length > 1) level.directory[Symbol.dispose]();
        levels.pop();
        continue;
      }
      const { name, kind } = entry;
      const path = level.path + name;
      if (level.rules?.ignores(path, name, kind === "directory")) continue;
      const shown = [...level.shown, shownName(name)];
      yield { path: shown, kind, directory: level.directory };
      if (kind === "directory") {
        const below = open(level.directory, name);
        if (below !== undefined) enter(below, shown, `${path}/`, level.rules);
      }
    }
  } finally {
    for (const level of levels.slice(1)) level.directory[Symbol.dispose]();
  }
}

/** A directory's entries; the first one comes last. */
function childrenOf(directory: Handle): Child[] {
  try {
    const entries = readdirSync(directory.path, { withFileTypes: true, encoding: "latin1" });
    const children = entries.filter(({ name }) => name !== ".git").map(childOf);
    return children.sort((a, b) => (a.key < b.key ? 1 : -1));
  } catch (error) {
    if (errnoOf(error) === "EACCES") return [];
    throw error;
  }
}

function childOf(entry: Dirent): Child {
  const { name } = entry;
  if (entry.isDirectory()) return { name, key: `${name}/`, kind: "directory" };
  return { name, key: name, kind: entry.isFile() ? "file" : "other" };
}

function open(directory: Handle, name: ByteName): Handle | undefined {
  try {
    return openChildDirectory(directory, name);
  } catch (error) {
    if (errnoOf(error) === "EACCES") return undefined;
    throw error;
  }
}
