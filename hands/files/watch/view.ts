import type { Handle } from "@serverless-harness/kit/paths/handle";
import { type BytePath, shownName } from "../../fs/byte-handle.ts";
import type { IgnoreRules } from "../../ignore/ignore-rules.ts";
import { rulesForSearch } from "../../ignore/ignore-source.ts";
import type { NameFilter } from "../name-filter.ts";
import type { WatchedDirectory } from "./directory.ts";
import { lookAt } from "./look.ts";

/** What of a directory is watched. */
export interface View {
  /** Path from the workspace to the watched directory, with a slash at the end unless it is empty. */
  readonly base: BytePath;
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
  if (directory.rules?.ignores(view.base + directory.bytePath + name, name, isDirectory) === true) return false;
  return !view.exclude.some((excludes) => excludes(path, isDirectory));
}

/** Read the directory's ignore rules where they are not those that are known; true if so. */
export function readRules(view: View, directory: WatchedDirectory, handle: Handle): boolean {
  if (!view.honoursIgnore) return false;
  const look = lookAt(handle, ".gitignore");
  const print = look === undefined ? "" : `${look.print}:${look.ctimeNs}`;
  const { parent } = directory;
  if (print === directory.ignorePrint && !directory.rulesAreStale) return false;
  const before = directory.rules;
  directory.rules = rulesForSearch(handle, view.base + directory.bytePath, parent === undefined ? view.rules : parent.rules);
  directory.ignorePrint = print;
  directory.rulesAreStale = false;
  return directory.rules !== before;
}
