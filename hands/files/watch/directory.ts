import { type BytePath, shownName } from "../../fs/byte-handle.ts";
import type { IgnoreRules } from "../../ignore/ignore-rules.ts";
import type { Look } from "./look.ts";

/** An entry as it was looked at last. */
export interface Entry {
  look: Look;
  /** Present where what is in it is watched too. */
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
  /** Its .gitignore as it was read: empty where there is none, `undefined` before. */
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
