import { Code } from "@connectrpc/connect";
import { HarnessError } from "@serverless-harness/kit/errors";
import type { ArtifactStore } from "../artifacts/artifact-store.ts";
import { KeyedQueue } from "../fs/keyed-queue.ts";
import { joinLeftOuts, LeftOutList, type LeftOuts, NOTHING_LEFT_OUT } from "../fs/left-out.ts";
import { removeTree } from "../fs/remove-tree.ts";
import { DEFAULT_TREE_LIMITS, type TreeLimits } from "../fs/tree-limits.ts";
import type { Workspace } from "../workspaces/workspaces.ts";
import { adopt, unadopt } from "./adopt.ts";
import { Archive } from "./archive.ts";
import { type CheckoutOptions, checkOut } from "./checkout.ts";
import type { Clones } from "./clones.ts";
import { type DiffPart, StoredPatch } from "./diff.ts";
import { draftCommit } from "./draft-commit.ts";
import type { Git } from "./git.ts";
import { GitFailure, tellsDamage, translateGitFailure } from "./git-failure.ts";
import { restoreSnapshot } from "./restore.ts";
import { requireSnapshot, type Snapshot, type SnapshotConditions, type SnapshotTaken, takeSnapshot } from "./snapshot.ts";
import type { GitSource } from "./source.ts";
import { translateCheckoutFailure } from "./source-error.ts";
import { requireSourceFits } from "./source-tree.ts";
import { checkOutSubmodules } from "./submodules.ts";
import { WorkspaceRepository } from "./workspace-repository.ts";

export interface WorkspaceTreesOptions {
  readonly git: Git;
  readonly clones: Clones;
  readonly artifacts: ArtifactStore;
  /** Of the artifact store's users: what is not signed with it is not restored. At least 32 bytes. */
  readonly artifactsKey: Uint8Array;
  readonly limits?: Partial<TreeLimits>;
  readonly checkout?: Omit<CheckoutOptions, "signal">;
}

export interface DiffOrder {
  /** Compare with this snapshot. Empty: with what the workspace was made with. */
  readonly sinceSnapshotId: string;
  /** Stop after this many bytes. */
  readonly maxBytes: number;
}

/** How a workspace's tree came to be. */
export interface Origin {
  /** The commit that it was made at; empty if it has no git source. */
  readonly baseCommit: string;
  /** The snapshot that it was restored from last; empty if none. */
  readonly restoredSnapshotId: string;
  /** What it lacks of what it was made from or restored to. */
  readonly leftOut: LeftOuts;
}

interface Context {
  readonly workspace: Workspace;
  readonly repository: WorkspaceRepository;
  readonly archive: Archive;
  readonly signal: AbortSignal;
}

/**
 * The trees of workspaces: made from git, compared, snapshotted and restored. All it keeps of a workspace is in that one's state directory, and
 * goes with it. Calls about one workspace run one after the other.
 *
 * Git works in repositories of the daemon's own only. What is in a workspace is read and written by handles and given to git as bytes,
 * so that neither a `.git` nor a file in it can make the daemon run or read anything.
 *
 * Errors of all methods besides their own: RESOURCE_EXHAUSTED `tree_too_large` and `no_space`, PERMISSION_DENIED `permission_denied` for files that
 * the daemon may not read, FAILED_PRECONDITION `ignore_rules_too_complex` and `git_missing`, INTERNAL `git_failed`, those of the artifact store, and
 * CANCELLED `git_aborted` if the workspace was released meanwhile.
 */
export class WorkspaceTrees {
  readonly #options: WorkspaceTreesOptions;
  readonly #limits: TreeLimits;
  readonly #queue = new KeyedQueue();
  /** Of each workspace that was called for: what ends its calls, and whether what a killed daemon left in it was removed. */
  readonly #current = new Map<string, { readonly controller: AbortController; swept: boolean }>();

  constructor(options: WorkspaceTreesOptions) {
    this.#options = options;
    this.#limits = { ...DEFAULT_TREE_LIMITS, ...options.limits };
  }

  /**
   * Make a directory (missing or empty, and out of the reach of commands until this resolves) the tree of a
   * repository at a ref, with a repository of its own in it, its submodules as far as they can be had, and {@link
   * begin} the workspace with it. INVALID_ARGUMENT, UNAVAILABLE `source_unavailable`, NOT_FOUND `unknown_ref`,
   * PERMISSION_DENIED `address_refused`, RESOURCE_EXHAUSTED `source_too_large`, FAILED_PRECONDITION `source_faulty`;
   * what is in the directory is then of no use.
   */
  checkOut(workspace: Workspace, directory: string, source: GitSource): Promise<Origin> {
    return this.#run(workspace, "check the repository out", async ({ repository, signal }) => {
      const { git, clones, checkout } = this.#options;
      const make = async (anew: boolean): Promise<void> => {
        const adopted = await clones.use(source, (clone) => adopt(git, clone, repository.store), { signal, anew });
        await requireSourceFits(repository.store, adopted.commit, this.#limits, signal);
        await checkOut(git, repository.store, adopted, directory, { ...checkout, signal });
        const leftOut = new LeftOutList();
        const options = { clones, store: repository.store, limits: this.#limits, checkout: { ...checkout, signal }, signal, leftOut };
        await checkOutSubmodules(options, { commit: adopted.commit, url: adopted.url, directory });
        await repository.begin(directory, { baseCommit: adopted.commit, tracked: [], leftOut });
      };
      try {
        await make(false);
      } catch (error) {
        if (!(error instanceof GitFailure) || !tellsDamage(error)) throw translateCheckoutFailure(error);
        await unadopt(repository.store);
        await removeTree(directory);
        await make(true).catch((second: unknown) => {
          throw translateCheckoutFailure(second);
        });
      }
      return originOf(repository.state);
    });
  }

  /**
   * Note what a directory holds as what the workspace was made with: what {@link diff} compares with. Call it before commands reach the
   * workspace; one that was never begun counts as made empty. `copy`: of which workspace the directory is a copy, and what it
   * lacks; what counts there in spite of .gitignore counts here.
   */
  async begin(workspace: Workspace, directory: string, copy?: { original: Workspace; leftOut: LeftOuts }): Promise<Origin> {
    const tracked = copy === undefined ? [] : await this.#run(copy.original, "read a tree", ({ repository }) => repository.trackedPaths());
    return this.#run(workspace, "read a tree", async ({ repository }) => {
      await repository.begin(directory, { baseCommit: "", tracked, leftOut: copy?.leftOut ?? NOTHING_LEFT_OUT });
      return originOf(repository.state);
    });
  }

  async origin(workspace: Workspace): Promise<Origin> {
    return originOf(await WorkspaceRepository.stateOf(workspace));
  }

  /**
   * What changed, as a patch that `git apply` takes on what it is compared with: new, deleted, renamed and binary
   * files, modes and symbolic links, without what .gitignore excludes. What was made with a git source is compared
   * with its commit, as a commit of everything would be; what was changed below a submodule is left out, and the
   * summary tells. NOT_FOUND `unknown_snapshot`, DATA_LOSS `corrupt_snapshot`.
   */
  async *diff(workspace: Workspace, { sinceSnapshotId, maxBytes }: DiffOrder): AsyncGenerator<DiffPart> {
    await using patch = await this.#run(workspace, "compare trees", async ({ repository, archive, signal }) => {
      const { store, state } = repository;
      const {
        tree: after,
        found: { leftOut: tooLarge },
      } = await repository.currentTree();
      if (sinceSnapshotId === "" && state.baseCommit !== "") {
        const { baseCommit, baseTree: checkedOut } = state;
        const draft = await draftCommit({ store, workspace: workspace.path, baseCommit, checkedOut, current: after, signal });
        return StoredPatch.make(
          store,
          { before: baseCommit, after: draft.tree, leftOut: joinLeftOuts(tooLarge, draft.leftOut), maxBytes },
          signal,
        );
      }
      let before = state.baseTree;
      if (sinceSnapshotId !== "") {
        const manifest = await requireSnapshot(repository, archive, sinceSnapshotId);
        await archive.fetch(manifest, signal);
        before = manifest.tree;
      }
      return StoredPatch.make(store, { before, after, leftOut: tooLarge, maxBytes }, signal);
    });
    yield* patch.parts();
  }

  /** See {@link takeSnapshot}. */
  snapshot(workspace: Workspace, snapshotId: string, conditions?: SnapshotConditions): Promise<SnapshotTaken> {
    return this.#run(workspace, "take the snapshot", ({ repository, archive }) =>
      takeSnapshot(repository, archive, snapshotId, conditions),
    );
  }

  /** See {@link restoreSnapshot}. */
  restore(workspace: Workspace, snapshotId: string): Promise<{ snapshot: Snapshot; changedFiles: number }> {
    return this.#run(workspace, "restore the snapshot", (context) => restoreSnapshot({ ...context, limits: this.#limits }, snapshotId));
  }

  /** End what is going on in a workspace that is about to be deleted; resolves when nothing of it is left. Calls that wait are refused. */
  async release(workspace: Workspace): Promise<void> {
    this.#current.get(workspace.name)?.controller.abort();
    this.#current.delete(workspace.name);
    await this.#queue.run(workspace.name, async () => undefined);
  }

  /** Delete all snapshots of a workspace of this name, even if it is not known here. Idempotent. Errors of the artifact store. */
  async deleteSnapshots(name: string): Promise<void> {
    await this.#options.artifacts.deleteBelow(name);
  }

  #run<T>(workspace: Workspace, doing: string, task: (context: Context) => Promise<T>): Promise<T> {
    const current = this.#current.get(workspace.name) ?? { controller: new AbortController(), swept: false };
    this.#current.set(workspace.name, current);
    const { signal } = current.controller;
    return this.#queue.run(workspace.name, async () => {
      try {
        signal.throwIfAborted();
        const repository = await WorkspaceRepository.open({ git: this.#options.git, workspace, limits: this.#limits, signal });
        if (!current.swept) await repository.store.sweep();
        current.swept = true;
        const archive = new Archive(
          this.#options.artifacts,
          { workspace: workspace.name, key: this.#options.artifactsKey },
          repository.store,
        );
        return await task({ workspace, repository, archive, signal });
      } catch (error) {
        if (signal.aborted)
          throw new HarnessError(Code.Canceled, "git_aborted", `workspace ${workspace.name} was removed meanwhile`, { cause: error });
        throw translateGitFailure(error, doing);
      }
    });
  }
}

function originOf({ baseCommit, restoredSnapshotId, leftOut }: Origin): Origin {
  return { baseCommit, restoredSnapshotId, leftOut };
}
