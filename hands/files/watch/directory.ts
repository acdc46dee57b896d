import { type Handle, openDirectory } from "@serverless-harness/kit/paths/handle";
import type { FileKind, WatchChangeKind } from "@serverless-harness/proto/hands";
import { type BytePath, shownName } from "../../fs/byte-names.ts";
import { type IgnoreRules, rulesForSearch } from "../../ignore/ignore-rules.ts";
import type { NameFilter } from "../glob.ts";
import type { WatchBudget } from "./budget.ts";
import { type EntryState, entryState, openSame } from "./entry-state.ts";
import type { Inotify } from "./inotify.ts";

/** An entry as it was looked at last. */
export interface Entry {
  look: EntryState;
  /** Present if what is in it is watched too. */
  directory: WatchedDirectory | undefined;
}

/** More names than this are not remembered one by one: the whole directory is looked at. */
const MAX_DIRTY_NAMES = 10_000;

/** A directory that is watched. Names are bytes, each as one character (`latin1`). */
export class WatchedDirectory {
  readonly parent: WatchedDirectory | undefined;
  readonly name: string;
  /** Segments below the watched directory, as they are shown. */
  readonly path: readonly string[];
  /** The same as bytes, with a slash at the end unless it is empty. */
  readonly bytePath: BytePath;
  readonly inode: string;
  readonly entries = new Map<string, Entry>();
  /** How often each change of a name has been put off until it settles. */
  readonly postponed = new Map<string, number>();
  rules: IgnoreRules | undefined;
  /** Its .gitignore as it was read: empty if there is none, `undefined` before. */
  ignorePrint: string | undefined;
  /** The rules have to be read again, and everything to be looked at by them. */
  rulesAreStale = false;
  watcher: Disposable | undefined;
  /** It is part of the tree. */
  isAttached = true;
  #dirty: Set<string> | "all" = new Set();

  constructor(parent: WatchedDirectory | undefined, name: string, inode: string) {
    this.parent = parent;
    this.name = name;
    this.path = parent === undefined ? [] : [...parent.path, shownName(name)];
    this.bytePath = parent === undefined ? "" : `${parent.bytePath}${name}/`;
    this.inode = inode;
  }

  /** Something may have happened to `name`; `undefined`: to any. */
  mark(name?: string): void {
    if (this.#dirty === "all") return;
    if (name === undefined || this.#dirty.size >= MAX_DIRTY_NAMES) this.#dirty = "all";
    else this.#dirty.add(name);
  }

  /** What may have changed since this was asked before. */
  takeDirty(): ReadonlySet<string> | "all" {
    const dirty = this.#dirty;
    this.#dirty = new Set();
    return dirty;
  }
}

/** A directory and all below it that are watched. */
export function* eachDirectory(top: WatchedDirectory): Generator<WatchedDirectory> {
  const open = [top];
  for (let directory = open.pop(); directory !== undefined; directory = open.pop()) {
    yield directory;
    for (const entry of directory.entries.values()) if (entry.directory !== undefined) open.push(entry.directory);
  }
}

/** What of a directory is watched. */
export interface View {
  /** Path from the workspace to the watched directory, with a slash at the end unless it is empty. */
  readonly base: BytePath;
  /** What is ignored there already. */
  readonly rules: IgnoreRules | undefined;
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

/** Read the directory's ignore rules again if they have changed; true if so. */
export function readRules(view: View, directory: WatchedDirectory, handle: Handle): boolean {
  if (!view.honoursIgnore) return false;
  const look = entryState(handle, ".gitignore");
  const print = look === undefined ? "" : `${look.print}:${look.ctimeNs}`;
  const { parent } = directory;
  if (print === directory.ignorePrint && !directory.rulesAreStale) return false;
  const before = directory.rules;
  directory.rules = rulesForSearch(handle, view.base + directory.bytePath, parent === undefined ? view.rules : parent.rules);
  directory.ignorePrint = print;
  directory.rulesAreStale = false;
  return directory.rules !== before;
}

interface TreeChange {
  readonly kind: WatchChangeKind;
  /** Segments below the watched directory. */
  readonly path: readonly string[];
  readonly fileKind: FileKind;
}

export interface TreeOptions {
  readonly view: View;
  readonly budget: WatchBudget;
  /** `undefined`: everything is looked at in an interval. */
  readonly inotify: Inotify | undefined;
  /** A handle to what the watched path leads to. `undefined` if that is no directory any more. */
  readonly open: () => Handle | undefined;
  readonly tell: (change: TreeChange) => void;
  /** There is something to look at. */
  readonly onDirty: () => void;
  /** Asked every few milliseconds; throws to end the work. */
  readonly checkpoint: () => void;
}

/** A handle to a watched directory, by its names from the base down. `onOther` is told of a name that leads to another directory by now. */
export function reach(
  base: Handle,
  directory: WatchedDirectory,
  onOther: (parent: WatchedDirectory, name: string) => void,
): Handle | undefined {
  if (!directory.isAttached) return undefined;
  if (directory.parent === undefined) return openDirectory(`${base.path}/.`);
  using parent = reach(base, directory.parent, onOther);
  if (parent === undefined) return undefined;
  const handle = openSame(parent, directory.name, directory.inode);
  if (handle === undefined) onOther(directory.parent, directory.name);
  return handle;
}
