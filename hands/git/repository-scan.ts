import type { BigIntStats } from "node:fs";
import { type Handle, openDirectory } from "@serverless-harness/kit/paths/handle";
import { translateError } from "@serverless-harness/kit/paths/path-error";
import { aboutEntry, type BytePath, namesIn, openChildDirectory, shownName, statChild } from "../fs/byte-names.ts";
import { LeftOutList, type LeftOuts } from "../fs/left-out.ts";
import { Pacer } from "../fs/pacer.ts";
import { type BlobSink, entryMode, type ReadEntry, readEntry, tagOf } from "./content-reader.ts";
import type { TreeEntries } from "./tree-entries.ts";

export interface RepositoryScanOptions {
  readonly root: string;
  /** Paths of `.git` directories, or of the files that stand for them. */
  readonly repositories: readonly BytePath[];
  readonly limits: RepositoryLimits;
  /** What the last scan found: a file whose tag is the same is not read again. */
  readonly known: TreeEntries<ReadEntry>;
  /** Names of packs of the workspace's own repository that its source has. */
  readonly sourcePacks: ReadonlySet<string>;
  /** Gets the contents of all files that had to be read. Default: nobody. */
  readonly sink?: BlobSink;
  readonly signal?: AbortSignal;
}

/** Bounds of all repositories' own directories together. One that does not fit is left out as a whole. */
export interface RepositoryLimits {
  readonly bytes: number;
  readonly files: number;
  readonly depth: number;
}

export const DEFAULT_REPOSITORY_LIMITS: RepositoryLimits = { bytes: 1024 * 1024 * 1024, files: 200_000, depth: 64 };

/** What repositories' own directories hold. */
export interface ScannedRepositories {
  readonly entries: ReadonlyMap<BytePath, ReadEntry>;
  /** Directories without anything in them, with their permissions. Git needs some of them. */
  readonly empty: ReadonlyMap<BytePath, number>;
  readonly leftOut: LeftOuts;
}

/**
 * Read repositories' own directories as plain files, while commands may change them: git never runs on them. What
 * refers comes before what is referred to, and loose objects before packs, as git writes and packs them the other way
 * round. Locks, half-written files, and the packs that another checkout of the source brings along, are left out.
 */
export async function scanRepositories(options: RepositoryScanOptions): Promise<ScannedRepositories> {
  using root = openDirectory(options.root);
  const scan = new RepositoryScan(options);
  for (const path of [...options.repositories].sort()) await scan.take(root, path);
  return scan;
}

class RepositoryScan implements ScannedRepositories {
  readonly entries = new Map<BytePath, ReadEntry>();
  readonly empty = new Map<BytePath, number>();
  readonly leftOut = new LeftOutList();
  readonly #options: RepositoryScanOptions;
  readonly #pacer: Pacer;
  #bytes = 0;
  #files = 0;

  constructor(options: RepositoryScanOptions) {
    this.#options = options;
    this.#pacer = new Pacer(options.signal);
  }

  async take(root: Handle, path: BytePath): Promise<void> {
    using way = new DisposableStack();
    const names = path.split("/");
    const name = names.pop() ?? "";
    let parent = root;
    for (const directory of names) {
      const next = openChildDirectory(parent, directory);
      if (next === undefined) return;
      parent = way.use(next);
    }
    if (await this.#fits(parent, path, name, 0)) await this.#visit(parent, path, name);
    else this.leftOut.add(shownName(path), `is more than a snapshot holds of repositories (${this.#options.limits.bytes} bytes together)`);
  }

  /** Count what is to be read, before anything is. */
  async #fits(parent: Handle, path: BytePath, name: BytePath, depth: number): Promise<boolean> {
    const { limits } = this.#options;
    const stat = statChild(parent, name);
    if (stat === undefined || this.#isSkipped(path, name)) return true;
    if (!stat.isDirectory()) {
      this.#files += 1;
      this.#bytes += Number(stat.size);
      return this.#files <= limits.files && this.#bytes <= limits.bytes;
    }
    if (depth > limits.depth) return false;
    using directory = openChildDirectory(parent, name);
    if (directory === undefined) return true;
    for (const child of aboutEntry(path, () => [...namesIn(directory)])) {
      if (this.#pacer.due) await this.#pacer.rest();
      if (!(await this.#fits(directory, `${path}/${child}`, child, depth + 1))) return false;
    }
    return true;
  }

  async #visit(parent: Handle, path: BytePath, name: BytePath): Promise<void> {
    if (this.#isSkipped(path, name)) return;
    if (this.#pacer.due) await this.#pacer.rest();
    const stat = aboutEntry(path, () => statChild(parent, name));
    if (stat?.isDirectory() === true) return this.#directory(parent, path, name);
    if (stat === undefined || entryMode(stat) === undefined) return;
    const entry = await this.#entry(parent, path, name, stat);
    if (entry !== undefined) this.entries.set(path, entry);
  }

  async #directory(parent: Handle, path: BytePath, name: BytePath): Promise<void> {
    using directory = openChildDirectory(parent, name);
    if (directory === undefined) return;
    const names = aboutEntry(path, () => [...namesIn(directory)]).sort(objectsLast);
    if (names.length === 0) this.empty.set(path, Number(directory.stat().mode & 0o7777n));
    for (const child of names) await this.#visit(directory, `${path}/${child}`, child);
  }

  async #entry(parent: Handle, path: BytePath, name: BytePath, stat: BigIntStats): Promise<ReadEntry | undefined> {
    const known = this.#options.known.get(path);
    if (known?.tag === tagOf(stat) && known.mode === entryMode(stat)) return known;
    try {
      return await readEntry(parent, name, { sink: this.#options.sink, pacer: this.#pacer });
    } catch (error) {
      throw translateError(error, shownName(path));
    }
  }

  #isSkipped(path: BytePath, name: BytePath): boolean {
    if (name.endsWith(".lock") || name.startsWith("tmp_")) return true;
    return path.startsWith(".git/objects/pack/") && this.#options.sourcePacks.has(name.replace(/\.[a-z]+$/, ""));
  }
}

/** `objects` and `pack` come after what leads to them. */
function objectsLast(a: BytePath, b: BytePath): number {
  const rank = (name: BytePath): number => Number(name === "objects" || name === "pack");
  return rank(a) - rank(b) || (a < b ? -1 : 1);
}
