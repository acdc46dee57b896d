import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { BytePath } from "../fs/byte-names.ts";
import { type LeftOuts, NOTHING_LEFT_OUT } from "../fs/left-out.ts";
import type { TreeLimits } from "../fs/tree-limits.ts";
import { type IgnoreSource, rulesOnDisk } from "../ignore/ignore-rules.ts";
import type { Workspace } from "../workspaces/workspaces.ts";
import type { BlobSink, ReadEntry } from "./content-reader.ts";
import { ATTRIBUTES, formatAttributes, fromStored, toStored } from "./extras.ts";
import type { Git } from "./git.ts";
import { GitFailure } from "./git-failure.ts";
import { ObjectStore, refOf } from "./object-store.ts";
import { DEFAULT_REPOSITORY_LIMITS, type ScannedRepositories, scanRepositories } from "./repository-scan.ts";
import { type Scanned, type ScanOptions, scanTree, TrackedPaths } from "./scan.ts";
import { loadScan, NOTHING_SCANNED, type ScannedTree, saveScan } from "./stat-cache.ts";
import { TreeBuilder } from "./tree-builder.ts";
import { compareTrees, type TreeEntries, type TreeEntry } from "./tree-entries.ts";
import { INITIAL_STATE, readState, type TreesState, writeState } from "./trees-state.ts";

/** The git side of one workspace, in the daemon's state: the objects, what is remembered, and the last scan. For one caller at a time. */
export class WorkspaceRepository {
  readonly store: ObjectStore;
  readonly #workspace: Workspace;
  readonly #directory: string;
  readonly #limits: TreeLimits;
  readonly #signal: AbortSignal;
  #state: TreesState;

  private constructor(store: ObjectStore, directory: string, options: RepositoryOptions, state: TreesState) {
    this.store = store;
    this.#directory = directory;
    this.#workspace = options.workspace;
    this.#limits = options.limits;
    this.#signal = options.signal;
    this.#state = state;
  }

  /** Open it, making it if it is missing. */
  static async open(options: RepositoryOptions): Promise<WorkspaceRepository> {
    const directory = join(options.workspace.stateDirectory, "git");
    await mkdir(directory, { recursive: true, mode: 0o700 });
    const store = await ObjectStore.open(options.git, join(directory, "objects.git"));
    return new WorkspaceRepository(store, directory, options, await readState(join(directory, "state.json")));
  }

  /** What is remembered of a workspace, without opening anything. */
  static stateOf(workspace: Workspace): Promise<TreesState> {
    return readState(join(workspace.stateDirectory, "git", "state.json"));
  }

  get state(): TreesState {
    return this.#state;
  }

  /** Remember something more, durably. */
  async update(changes: Partial<TreesState>): Promise<void> {
    const state = { ...this.#state, ...changes };
    await writeState(join(this.#directory, "state.json"), state);
    this.#state = state;
  }

  /**
   * The tree of the workspace as it is now, written to the store; of a file that is too large it has what the
   * workspace was made with. Costs a walk over the files, and reading those that have changed since the last time.
   */
  async currentTree(): Promise<BuiltTree> {
    const last = await loadScan(this.#cachePath);
    try {
      return await this.#build(last, this.#workspace.path, { tracked: [], known: () => new Set(oidsOf(last.entries)) });
    } catch (error) {
      // Git misses what the cache says is there, as after a power cut.
      if (!(error instanceof GitFailure) || error.end.kind !== "exit" || last === NOTHING_SCANNED) throw error;
      return await this.#build(NOTHING_SCANNED, this.#workspace.path, { tracked: [], known: () => new Set() });
    }
  }

  /**
   * Begin again with the tree that a directory holds: forget everything but objects, and note this as what the
   * workspace was made with. `source`: the commit that was checked out there, which is in the store; what counts
   * though .gitignore excludes it; what the directory lacks.
   */
  async begin(directory: string, source: { baseCommit: string; tracked: Iterable<BytePath>; leftOut?: LeftOuts }): Promise<void> {
    const entries = source.baseCommit === "" ? new Map<BytePath, TreeEntry>() : await this.store.entries(source.baseCommit);
    this.#state = INITIAL_STATE;
    const tracked = [...entries.keys(), ...source.tracked];
    const { tree: baseTree } = await this.#build(NOTHING_SCANNED, directory, { tracked, known: () => new Set(oidsOf(entries)) });
    await this.store.keep("base", baseTree);
    await this.update({ baseTree, baseCommit: source.baseCommit, leftOut: source.leftOut ?? NOTHING_LEFT_OUT });
  }

  /**
   * What is in the workspace now, by the ignore rules given, without writing anything. `tracked`: files that count
   * besides those that always do.
   */
  async currentEntries(ignores: IgnoreSource, tracked: Iterable<BytePath>): Promise<Scanned> {
    const last = await loadScan(this.#cachePath);
    return this.#scan({ root: this.#workspace.path, known: last.entries, tracked: this.#tracked(tracked), ignores });
  }

  /** Remember that the workspace's tree, which is in the store, was found to hold these entries. */
  async remember(scanned: ScannedTree): Promise<void> {
    await saveScan(this.#cachePath, scanned);
  }

  /** Files that count though .gitignore excludes them: those that the workspace was made with or restored to. */
  async trackedPaths(): Promise<Set<BytePath>> {
    const paths = new Set<BytePath>();
    for (const tree of [this.#state.baseTree, this.#state.restoredTree]) {
      if (tree !== "") for (const path of (await this.store.entries(tree)).keys()) paths.add(path);
    }
    return paths;
  }

  async #build(
    last: ScannedTree,
    root: string,
    given: { tracked: Iterable<BytePath>; known: () => ReadonlySet<string> },
  ): Promise<BuiltTree> {
    await using builder = new TreeBuilder(this.store.git, this.store.gitDir, refOf("built"), given.known, this.#signal);
    const tracked = this.#tracked(given.tracked);
    const found = await this.#scan({ root, known: last.entries, tracked, ignores: rulesOnDisk, sink: builder });
    const { entries } = found;
    if (found.omitted.length > 0) await this.#keepMade(entries, found.omitted);
    const changes = await compareTrees(last.entries, entries);
    const tree = changes.length === 0 ? last.tree : await builder.finish(last.tree, changes);
    if (last === NOTHING_SCANNED || !isSame(last.entries, entries)) await saveScan(this.#cachePath, { tree, entries });
    return { tree, found };
  }

  /** The second tree of a snapshot, written to the store: see {@link Attributes}. `found`: what the first one was built of. */
  async currentExtras(found: Scanned): Promise<{ tree: string; leftOut: LeftOuts }> {
    const cached = await loadScan(this.#extrasCachePath);
    // If nothing has changed, the tree is used as it is.
    const last = (await this.store.treeOf(cached.tree)) === undefined ? NOTHING_SCANNED : cached;
    try {
      return await this.#buildExtras(last, found);
    } catch (error) {
      if (!(error instanceof GitFailure) || error.end.kind !== "exit" || last === NOTHING_SCANNED) throw error;
      return await this.#buildExtras(NOTHING_SCANNED, found);
    }
  }

  /** What repositories' own directories in the workspace hold now. */
  async currentRepositories(repositories: readonly BytePath[], sink?: BlobSink, last?: ScannedTree): Promise<ScannedRepositories> {
    const known = fromStored((last ?? (await loadScan(this.#extrasCachePath))).entries);
    return scanRepositories({
      root: this.#workspace.path,
      repositories,
      limits: DEFAULT_REPOSITORY_LIMITS,
      known,
      sourcePacks: await this.store.keptPacks(),
      signal: this.#signal,
      ...(sink === undefined ? {} : { sink }),
    });
  }

  async #buildExtras(last: ScannedTree, found: Scanned): Promise<{ tree: string; leftOut: LeftOuts }> {
    const known = (): ReadonlySet<string> => new Set(oidsOf(last.entries));
    await using builder = new TreeBuilder(this.store.git, this.store.gitDir, refOf("extras"), known, this.#signal);
    const repositories = await this.currentRepositories(found.repositories, builder, last);
    const attributes = formatAttributes(found, repositories);
    if (!builder.has(attributes.entry.oid)) await builder.add(attributes.content);
    const entries = toStored(repositories.entries).set(ATTRIBUTES, attributes.entry);
    const changes = await compareTrees(last.entries, entries);
    const tree = changes.length === 0 ? last.tree : await builder.finish(last.tree, changes);
    await saveScan(this.#extrasCachePath, { tree, entries });
    return { tree, leftOut: repositories.leftOut };
  }

  /** What is too large now stays what it was when the workspace was made: it is neither removed nor changed. */
  async #keepMade(entries: Map<BytePath, ReadEntry>, omitted: readonly BytePath[]): Promise<void> {
    const made = await this.store.entries(this.#state.baseTree);
    for (const path of omitted) {
      const entry = made.get(path);
      if (entry !== undefined) entries.set(path, { ...entry, tag: "" });
    }
  }

  #scan(options: Omit<ScanOptions, "limits" | "signal">): Promise<Scanned> {
    return scanTree({ ...options, limits: this.#limits, signal: this.#signal });
  }

  #tracked(further: Iterable<BytePath>): TrackedPaths {
    return new TrackedPaths(async () => [...(await this.trackedPaths()), ...further]);
  }

  get #extrasCachePath(): string {
    return join(this.#directory, "scan-extras");
  }

  get #cachePath(): string {
    return join(this.#directory, "scan");
  }
}

/** All entries were taken over from the last scan. */
function isSame(last: TreeEntries, now: TreeEntries): boolean {
  if (last.size !== now.size) return false;
  for (const [path, entry] of now) if (last.get(path) !== entry) return false;
  return true;
}

function* oidsOf(entries: TreeEntries): Generator<string> {
  for (const { oid } of entries.values()) yield oid;
}

/** A tree in the store, and what was found in the workspace when it was built. */
export interface BuiltTree {
  readonly tree: string;
  readonly found: Scanned;
}

export interface RepositoryOptions {
  readonly git: Git;
  readonly workspace: Workspace;
  readonly limits: TreeLimits;
  /** Ends what is going on. */
  readonly signal: AbortSignal;
}
