import { type BigIntStats, type Dir, opendirSync } from "node:fs";
import type { Handle } from "@serverless-harness/kit/paths/handle";
import { translateError } from "@serverless-harness/kit/paths/path-error";
import { openRoot } from "@serverless-harness/kit/paths/root";
import { aboutEntry, type BytePath, isRepository, openChildDirectory, shownName, statChild } from "../fs/byte-names.ts";
import { LeftOutList, type LeftOuts } from "../fs/left-out.ts";
import { Pacer } from "../fs/pacer.ts";
import { type TreeLimits, TreeMeter } from "../fs/tree-limits.ts";
import type { IgnoreRules, IgnoreSource } from "../ignore/ignore-rules.ts";
import { type BlobSink, entryMode, type ReadEntry, readEntry, tagOf } from "./content-reader.ts";
import type { EntryMode, TreeEntries } from "./tree-entries.ts";

export interface ScanOptions {
  readonly root: string;
  readonly limits: TreeLimits;
  /** What the last scan found: a file whose tag is the same is not read again. */
  readonly known: TreeEntries<ReadEntry>;
  /** Paths that count whatever the ignore rules say. */
  readonly tracked: TrackedPaths;
  readonly ignores: IgnoreSource;
  /** Gets the contents of all files that had to be read. Default: nobody. */
  readonly sink?: BlobSink;
  readonly signal?: AbortSignal;
}

/**
 * Read a workspace's tree while commands may change it: every file that .gitignore does not exclude, and every tracked one. Symbolic links are
 * entries, never followed; repositories' own directories (`.git`), FIFOs, sockets and devices are left out, and so are empty directories.
 *
 * It walks by handles, as paths.ts does, since git's own walk can be led out: of `git add` on a tree in which a command swaps files with symbolic
 * links, some run soon has a file from outside. And as git gets to see neither the directory nor what lies in it (attributes, filters,
 * hooks, another repository's configuration), none of that can make it run or read anything.
 *
 * What is beyond a limit is left out and named. PERMISSION_DENIED `permission_denied` for what the daemon may not read.
 */
export async function scanTree(options: ScanOptions): Promise<Scanned> {
  using root = openRoot(options.root);
  const scan = new Scan(options);
  await scan.walk(root, { path: "", depth: 0, rules: undefined, ignored: false });
  return scan;
}

export interface Scanned {
  readonly entries: Map<BytePath, ReadEntry>;
  /** What counts, but is too much: it is in no tree. */
  readonly leftOut: LeftOuts;
  /** All paths of {@link leftOut}. */
  readonly omitted: readonly BytePath[];
  /** Permissions of files and directories that are others than a tree tells or git makes. */
  readonly modes: ReadonlyMap<BytePath, number>;
  /** Directories below which nothing counts, with their permissions. */
  readonly empty: ReadonlyMap<BytePath, number>;
  /** Repositories' own directories, and the files that stand for them. */
  readonly repositories: readonly BytePath[];
}

interface WalkedDirectory {
  /** With a slash at the end; empty for the root. */
  readonly path: BytePath;
  readonly depth: number;
  readonly rules: IgnoreRules | undefined;
  /** It is ignored: only what is tracked counts. */
  readonly ignored: boolean;
}

/** Permissions of directories that git makes. */
export const DIRECTORY_MODE = 0o755;

/** Permissions of a file that git writes. */
export function fileMode(mode: EntryMode): number {
  return mode === "100755" ? 0o755 : 0o644;
}

class Scan implements Scanned {
  readonly entries = new Map<BytePath, ReadEntry>();
  readonly leftOut = new LeftOutList();
  readonly omitted: BytePath[] = [];
  readonly modes = new Map<BytePath, number>();
  readonly empty = new Map<BytePath, number>();
  readonly repositories: BytePath[] = [];
  readonly #options: ScanOptions;
  readonly #pacer: Pacer;
  readonly #meter: TreeMeter;

  constructor(options: ScanOptions) {
    this.#options = options;
    this.#pacer = new Pacer(options.signal);
    this.#meter = new TreeMeter(options.limits);
  }

  /** Whether anything was found that counts. */
  async walk(directory: Handle, above: WalkedDirectory): Promise<boolean> {
    const before = this.entries.size + this.omitted.length + this.repositories.length;
    const rules = above.ignored ? undefined : aboutEntry(above.path, () => this.#options.ignores(directory, above.path, above.rules));
    const place = { ...above, rules };
    const directories: BytePath[] = [];
    const listing = aboutEntry(above.path, () => opendirSync(directory.path, { encoding: "latin1", bufferSize: 256 }));
    try {
      for (let name = next(listing); name !== undefined; name = next(listing)) {
        if (this.#pacer.due) await this.#pacer.rest();
        if (isRepository(name)) this.repositories.push(place.path + name);
        else if ((await this.#visit(directory, name, place)) === "directory") directories.push(name);
      }
    } finally {
      listing.closeSync();
    }
    let full = false;
    for (const name of directories) if (await this.#descend(directory, name, place)) full = true;
    return full || this.entries.size + this.omitted.length + this.repositories.length > before;
  }

  /** Whether there is anything below, an empty directory included. */
  async #descend(directory: Handle, name: BytePath, place: WalkedDirectory): Promise<boolean> {
    const path = place.path + name;
    const ignored = place.ignored || place.rules?.ignores(path, name, true) === true;
    if (ignored && !(await this.#options.tracked.hasBelow(path))) return false;
    const why = this.#meter.depthRefusal(place.depth + 1);
    if (why !== undefined) return this.#omit(path, why);
    using child = aboutEntry(path, () => openChildDirectory(directory, name));
    if (child === undefined) return false;
    const mode = permissionsOf(child.stat());
    const full = await this.walk(child, { path: `${path}/`, depth: place.depth + 1, rules: place.rules, ignored });
    if (ignored) return full;
    if (!full) this.empty.set(path, mode);
    else if (mode !== DIRECTORY_MODE) this.modes.set(path, mode);
    return true;
  }

  #omit(path: BytePath, why: string): true {
    this.omitted.push(path);
    this.leftOut.add(shownName(path), why);
    return true;
  }

  /** Look at what has a name, and note it as an entry if it is one. */
  async #visit(directory: Handle, name: BytePath, place: WalkedDirectory): Promise<"directory" | undefined> {
    const path = place.path + name;
    const stat = aboutEntry(path, () => statChild(directory, name));
    if (stat?.isDirectory() === true) return "directory";
    if (stat === undefined || entryMode(stat) === undefined) return undefined;
    const ignored = place.ignored || place.rules?.ignores(path, name, false) === true;
    if (ignored && !(await this.#options.tracked.has(path))) return undefined;
    const why = this.#meter.refusal(Number(stat.size));
    if (why !== undefined) {
      this.#omit(path, why);
      return undefined;
    }
    const known = this.#options.known.get(path);
    const entry = known?.tag === tagOf(stat) && known.mode === entryMode(stat) ? known : await this.#read(directory, name, path);
    if (entry === undefined) return undefined;
    this.entries.set(path, entry);
    if (entry.mode !== "120000" && permissionsOf(stat) !== fileMode(entry.mode)) this.modes.set(path, permissionsOf(stat));
    return undefined;
  }

  async #read(directory: Handle, name: BytePath, path: BytePath): Promise<ReadEntry | undefined> {
    try {
      return await readEntry(directory, name, { sink: this.#options.sink, pacer: this.#pacer });
    } catch (error) {
      throw translateError(error, shownName(path));
    }
  }
}

function permissionsOf(stat: BigIntStats): number {
  return Number(stat.mode & 0o7777n);
}

function next(listing: Dir): BytePath | undefined {
  return listing.readSync()?.name;
}

/** Paths that belong to a workspace's tree though .gitignore excludes them, since what it was made from holds them. */
export class TrackedPaths {
  readonly #load: () => Promise<Iterable<BytePath>>;
  #sorted: Promise<readonly BytePath[]> | undefined;

  /** `load` is called once, and only if something ignored is met. */
  constructor(load: () => Promise<Iterable<BytePath>>) {
    this.#load = load;
  }

  async has(path: BytePath): Promise<boolean> {
    const sorted = await this.#paths();
    return sorted[firstFrom(sorted, path)] === path;
  }

  async hasBelow(path: BytePath): Promise<boolean> {
    const sorted = await this.#paths();
    const inside = `${path}/`;
    return sorted[firstFrom(sorted, inside)]?.startsWith(inside) === true;
  }

  #paths(): Promise<readonly BytePath[]> {
    this.#sorted ??= this.#load().then((paths) => [...paths].sort(byCode));
    return this.#sorted;
  }
}

/** Index of the first path that is not before `path`. */
function firstFrom(sorted: readonly BytePath[], path: BytePath): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((sorted[middle] ?? "") < path) low = middle + 1;
    else high = middle;
  }
  return low;
}

function byCode(a: BytePath, b: BytePath): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
