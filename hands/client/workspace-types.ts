import type { DiffSummary, Snapshot, Workspace } from "@serverless-harness/proto/hands";

/** What a workspace is made from. */
export type WorkspaceSource =
  | { readonly kind: "empty" }
  /** Another workspace of the same tenant. */
  | { readonly kind: "copy"; readonly workspace: string }
  /** A repository at a branch, tag or commit; default the remote's HEAD. */
  | { readonly kind: "git"; readonly url: string; readonly ref?: string };

/** How a workspace is made. */
export interface CreateOptions {
  /** Ignored where the workspace exists. Default empty. */
  readonly source?: WorkspaceSource;
  /** End what is there and make it anew. Default false. */
  readonly fresh?: boolean;
}

/** A patch in git's form, as far as `max_bytes` allows, and what was counted of the whole. */
export interface WorkspaceDiff {
  readonly patch: Uint8Array;
  readonly summary: DiffSummary;
}

/** One workspace as a whole, for one owner. */
export interface WorkspaceTreeClient {
  /**
   * Make it where it is missing, and take it over with this client's epoch. UNAVAILABLE `source_unavailable`, NOT_FOUND `unknown_ref`, FAILED_PRECONDITION
   * `stale_epoch` or `tenant_refused`.
   */
  create(options?: CreateOptions): Promise<Workspace>;
  /** What changed since it was made, or since a snapshot. `maxBytes` defaults to 16 MiB. */
  diff(options?: { readonly sinceSnapshotId?: string; readonly maxBytes?: number }): Promise<WorkspaceDiff>;
  /** Store its tree under an id; the same id returns the first snapshot. */
  snapshot(snapshotId: string): Promise<{ snapshot: Snapshot; replayed: boolean }>;
  /** Replace its tree by a snapshot's. NOT_FOUND `unknown_snapshot`, DATA_LOSS `corrupt_snapshot`. */
  restore(snapshotId: string): Promise<{ snapshot: Snapshot; changedFiles: number }>;
  /** End its execs and terminals and remove its files. A no-op where it is gone. */
  delete(): Promise<void>;
}
