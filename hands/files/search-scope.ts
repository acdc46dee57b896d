import { relative } from "node:path";
import { type Handle, openDirectory } from "@serverless-harness/kit/paths/handle";
import type { Location, Root } from "@serverless-harness/kit/paths/locate";
import { IgnoreRules } from "./gitignore.ts";

/** Where a search begins, seen from its root. */
export interface SearchScope {
  /** Segments from the root to where the search begins, resolved through symlinks. */
  readonly base: readonly string[];
  /** What the .gitignore files above it say. */
  readonly rules: IgnoreRules | undefined;
}

/** The scope of a search in a directory. Only .gitignore files inside the root count, never those of a repository that the daemon lies in. */
export function scopeOf(roots: readonly [Root, ...Root[]], location: Location): SearchScope {
  const root = roots.find(({ path }) => location.resolvedPath === path || location.resolvedPath.startsWith(`${path}/`)) ?? roots[0];
  const base = relative(root.path, location.resolvedPath)
    .split("/")
    .filter((name) => name !== "");
  let rules: IgnoreRules | undefined;
  const opened: Handle[] = [];
  try {
    let directory = openDirectory(root.path);
    opened.push(directory);
    for (const [depth, name] of base.entries()) {
      rules = IgnoreRules.of(directory, depth, rules);
      directory = openDirectory(directory.child(name));
      opened.push(directory);
    }
  } finally {
    for (const handle of opened) handle[Symbol.dispose]();
  }
  return { base, rules };
}
