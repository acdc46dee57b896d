import type { IgnoreRules } from "../gitignore.ts";
import type { NameFilter } from "../name-filter.ts";
import { shownName, type WatchedDirectory } from "./directory.ts";

/** What of a directory is watched. */
export interface View {
  /** Segments from the workspace to the watched directory, for .gitignore files. */
  readonly base: readonly string[];
  /** What is ignored there already. */
  readonly rules: IgnoreRules | undefined;
  /** .gitignore files count. */
  readonly honoursIgnore: boolean;
  /** What matches one of them is left out; asked with the path below the watched directory. */
  readonly exclude: readonly NameFilter[];
  /** What is in subdirectories is watched too. */
  readonly recursive: boolean;
}

/** An entry is to be watched. */
export function isVisible(view: View, directory: WatchedDirectory, name: string, isDirectory: boolean): boolean {
  if (name === ".git") return false;
  const path = [...directory.path, shownName(name)];
  if (directory.rules?.ignores([...view.base, ...path], isDirectory) === true) return false;
  return !view.exclude.some((excludes) => excludes(path, isDirectory));
}
