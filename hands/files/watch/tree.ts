import { setImmediate as nextTurn, setTimeout as sleep } from "node:timers/promises";
import type { Handle } from "@serverless-harness/kit/paths/handle";
import { FileKind, WatchChangeKind, WatchMode } from "@serverless-harness/proto/hands";
import { inodeOf } from "../../changes/witness.ts";
import { shownName } from "../../fs/byte-names.ts";
import { type Entry, eachDirectory, isVisible, reach, readRules, type TreeOptions, WatchedDirectory } from "./directory.ts";
import {
  type EntryState,
  entryState,
  isChanged,
  isGone,
  isRacy,
  isReplaced,
  namesIn,
  openSame,
  TICK_MS,
  unsettled,
} from "./entry-state.ts";
import { type Inotify, NotifyUnavailable } from "./inotify.ts";

/** Gives way to the rest of the daemon after this time. */
const SLICE_MS = 10;

/** A file that is written without a pause is reported after this many looks, even if it is still changing. */
const MAX_PUT_OFF = 3;

/**
 * What is below a directory, as it was looked at last. An event of the kernel only says where to look again; what is
 * told is how what is there differs from before. So both modes tell the same, and an event that comes twice, late, or
 * for something that is gone harms nothing. No descriptor stays open: a directory is opened by its names from the
 * watched one down, never through a symlink, and counts only while it is the same inode.
 */
export class WatchedTree implements Disposable {
  readonly #options: TreeOptions;
  readonly #dirty = new Set<WatchedDirectory>();
  /** Directories with changes that were put off. */
  readonly #postponing = new Set<WatchedDirectory>();
  #inotify: Inotify | undefined;
  #root: WatchedDirectory | undefined;
  #isTelling = false;
  #sliceStart = 0;

  constructor(options: TreeOptions) {
    this.#options = options;
    this.#inotify = options.inotify;
  }

  get mode(): WatchMode {
    return this.#inotify === undefined ? WatchMode.POLL : WatchMode.NOTIFY;
  }

  /** There is something to look at. */
  get isDirty(): boolean {
    return this.#dirty.size > 0 || this.#postponing.size > 0;
  }

  /** Look at everything for the first time: what changes from here on is told. False if the directory is gone by now. */
  async establish(): Promise<boolean> {
    this.#sliceStart = performance.now();
    this.#options.budget.takeDirectory();
    const handle = this.#options.open();
    if (handle === undefined) return false;
    this.#root = new WatchedDirectory(undefined, "", inodeOf(handle.stat()));
    await this.#enter(this.#root, handle);
    if (this.#postponing.size > 0) {
      await sleep(TICK_MS);
      if (!(await this.reconcile())) return false;
    }
    this.#isTelling = true;
    return true;
  }

  markAll(): void {
    for (const directory of this.#all()) this.#mark(directory);
  }

  /** Look again where something may have changed, and tell what did. False if the watched directory is gone: all is told as removed. */
  async reconcile(): Promise<boolean> {
    const { open } = this.#options;
    this.#sliceStart = performance.now();
    using base = open();
    if (base === undefined || this.#root === undefined || inodeOf(base.stat()) !== this.#root.inode) {
      this[Symbol.dispose]();
      return false;
    }
    for (const directory of this.#postponing) for (const name of directory.postponed.keys()) this.#mark(directory, name);
    this.#postponing.clear();
    // What is gone is told before what has come, so that the budget holds what moves only once.
    const work = [...this.#dirty].sort((a, b) => a.path.length - b.path.length);
    this.#dirty.clear();
    const added = new Map<WatchedDirectory, string[]>();
    for (const directory of work) {
      using handle = reach(base, directory, (parent, name) => this.#mark(parent, name));
      if (handle !== undefined) await this.#inspect(directory, handle, work, added);
    }
    for (const [directory, names] of added) {
      using handle = reach(base, directory, (parent, name) => this.#mark(parent, name));
      for (const name of handle === undefined ? [] : names) {
        const below = handle && this.#add(directory, handle, name);
        if (below !== undefined) await this.#enter(below.directory, below.handle);
        await this.#breathe();
      }
    }
    return true;
  }

  /** Watch nothing any more; what was there is told as removed. */
  [Symbol.dispose](): void {
    if (this.#root?.isAttached === true) this.#detach(this.#root);
    this.#dirty.clear();
    this.#postponing.clear();
  }

  /** Watch a directory and add what is in it, all the way down. Takes the handle over. */
  async #enter(top: WatchedDirectory, topHandle: Handle): Promise<void> {
    const levels = [{ directory: top, handle: topHandle, names: [] as string[] }];
    try {
      levels[0]?.names.push(...this.#begin(top, topHandle));
      for (let level = levels.at(-1); level !== undefined; level = levels.at(-1)) {
        const name = level.names.pop();
        if (name === undefined) {
          level.handle[Symbol.dispose]();
          levels.pop();
          continue;
        }
        const below = this.#add(level.directory, level.handle, name);
        if (below !== undefined) {
          const next = { ...below, names: [] as string[] };
          levels.push(next);
          next.names = this.#begin(below.directory, below.handle);
        }
        await this.#breathe();
      }
    } finally {
      for (const level of levels) level.handle[Symbol.dispose]();
    }
  }

  /** The names in a directory. It is watched before they are read: what is made from then on is told by the kernel. */
  #begin(directory: WatchedDirectory, handle: Handle): string[] {
    this.#attach(directory, handle);
    readRules(this.#options.view, directory, handle);
    return namesIn(handle);
  }

  #attach(directory: WatchedDirectory, handle: Handle): void {
    if (this.#inotify === undefined || directory.watcher !== undefined) return;
    try {
      directory.watcher = this.#inotify.watch(handle, (name) => {
        if (!directory.isAttached) return;
        this.#mark(directory, name);
        this.#options.onDirty();
      });
    } catch (error) {
      if (error instanceof NotifyUnavailable) this.#toPolling();
      else if (!isGone(error)) throw error;
    }
  }

  /** Go on without the kernel. */
  #toPolling(): void {
    this.#inotify = undefined;
    this.markAll();
    for (const directory of this.#all()) {
      directory.watcher?.[Symbol.dispose]();
      directory.watcher = undefined;
    }
  }

  /** Look at the names of one directory that may have changed. Other directories that have to be looked at go to the end of `work`. */
  async #inspect(
    directory: WatchedDirectory,
    handle: Handle,
    work: WatchedDirectory[],
    added: Map<WatchedDirectory, string[]>,
  ): Promise<void> {
    let names = directory.takeDirty();
    this.#attach(directory, handle);
    if (names === "all" || names.has(".gitignore") || directory.rulesAreStale) {
      if (readRules(this.#options.view, directory, handle)) {
        names = "all";
        for (const { directory: below } of directory.entries.values()) {
          if (below === undefined) continue;
          below.rulesAreStale = true;
          work.push(below);
        }
      }
    }
    const additions: string[] = [];
    for (const name of names === "all" ? new Set([...namesIn(handle), ...directory.entries.keys()]) : names) {
      if (this.#examine(directory, handle, name)) additions.push(name);
      await this.#breathe();
    }
    if (additions.length > 0) added.set(directory, [...(added.get(directory) ?? []), ...additions]);
  }

  /** Tell what became of an entry that was known. True if there is one to add. */
  #examine(directory: WatchedDirectory, handle: Handle, name: string): boolean {
    const now = entryState(handle, name);
    const isThere = now !== undefined && isVisible(this.#options.view, directory, name, now.kind === FileKind.DIRECTORY);
    const known = directory.entries.get(name);
    if (known !== undefined && (!isThere || isReplaced(known.look, now))) this.#drop(directory, name, known);
    if (!isThere) directory.postponed.delete(name);
    if (!isThere) return false;
    const entry = directory.entries.get(name);
    if (entry === undefined) return true;
    if (!isChanged(entry.look, now)) {
      // The number of its links may be another one.
      entry.look = now;
      return false;
    }
    const look = this.#settle(directory, name, now);
    if (look === undefined) return false;
    entry.look = look;
    this.#tell(WatchChangeKind.MODIFIED, directory, name, now.kind);
    // Its permissions changed: what can be seen in it may be something else.
    if (entry.directory !== undefined) this.#mark(entry.directory);
    return now.kind === FileKind.DIRECTORY && entry.directory === undefined;
  }

  /** Add an entry. Returns the directory if its content is to be watched too. */
  #add(directory: WatchedDirectory, handle: Handle, name: string): { directory: WatchedDirectory; handle: Handle } | undefined {
    const { view, budget } = this.#options;
    const now = entryState(handle, name);
    if (now === undefined || !isVisible(view, directory, name, now.kind === FileKind.DIRECTORY)) return undefined;
    let entry = directory.entries.get(name);
    if (entry === undefined) {
      const look = this.#settle(directory, name, now);
      if (look === undefined) return undefined;
      budget.takeEntry();
      entry = { look, directory: undefined };
      directory.entries.set(name, entry);
      this.#tell(WatchChangeKind.CREATED, directory, name, now.kind);
    }
    if (!view.recursive || now.kind !== FileKind.DIRECTORY || entry.directory !== undefined) return undefined;
    budget.takeDirectory();
    const below = openSame(handle, name, now.inode);
    if (below === undefined) {
      // Another one by now: the next look tells.
      budget.giveDirectory();
      this.#mark(directory, name);
      return undefined;
    }
    entry.directory = new WatchedDirectory(directory, name, now.inode);
    return { directory: entry.directory, handle: below };
  }

  #drop(directory: WatchedDirectory, name: string, entry: Entry): void {
    if (entry.directory !== undefined) this.#detach(entry.directory);
    directory.entries.delete(name);
    directory.postponed.delete(name);
    this.#options.budget.giveEntry();
    this.#tell(WatchChangeKind.REMOVED, directory, name, entry.look.kind);
  }

  #detach(directory: WatchedDirectory): void {
    for (const [name, entry] of directory.entries) this.#drop(directory, name, entry);
    directory.isAttached = false;
    directory.watcher?.[Symbol.dispose]();
    this.#options.budget.giveDirectory();
  }

  /** A look to remember, or `undefined` if the change has to wait until it can be told from the next one. */
  #settle(directory: WatchedDirectory, name: string, look: EntryState): EntryState | undefined {
    if (!isRacy(look)) {
      directory.postponed.delete(name);
      return look;
    }
    const times = directory.postponed.get(name) ?? 0;
    const isPutOff = this.#isTelling && times < MAX_PUT_OFF;
    directory.postponed.set(name, isPutOff ? times + 1 : 0);
    this.#postponing.add(directory);
    return isPutOff ? undefined : unsettled(look);
  }

  #all(): Iterable<WatchedDirectory> {
    return this.#root === undefined ? [] : eachDirectory(this.#root);
  }

  #mark(directory: WatchedDirectory, name?: string): void {
    directory.mark(name);
    this.#dirty.add(directory);
  }

  #tell(kind: WatchChangeKind, directory: WatchedDirectory, name: string, fileKind: FileKind): void {
    if (this.#isTelling) this.#options.tell({ kind, path: [...directory.path, shownName(name)], fileKind });
  }

  async #breathe(): Promise<void> {
    if (performance.now() - this.#sliceStart < SLICE_MS) return;
    this.#options.checkpoint();
    await nextTurn();
    this.#sliceStart = performance.now();
  }
}
