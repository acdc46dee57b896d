/** Bounds of the file operations. */
export interface FileLimits {
  /** Bytes of a file that Write makes. */
  readonly writeBytes: number;
  /** Bytes of a file that Edit changes: it is held in memory. */
  readonly editBytes: number;
  /** How long a search may take, in milliseconds. */
  readonly searchMs: number;
  readonly batchOperations: number;
  /** Bytes of a batch's request, and of its answer. */
  readonly batchBytes: number;
  /** Directories, and entries of directories, that one watch looks at. */
  readonly watchDirectories: number;
  readonly watchEntries: number;
  /** The same for all watches of a workspace. */
  readonly workspaceWatchDirectories: number;
  readonly workspaceWatchEntries: number;
  /** Changes that wait for a slow reader of a watch before they are dropped, and it is told so. */
  readonly watchQueue: number;
}

export const DEFAULT_FILE_LIMITS: FileLimits = {
  writeBytes: 256 * 1024 * 1024,
  editBytes: 8 * 1024 * 1024,
  searchMs: 30_000,
  batchOperations: 256,
  batchBytes: 2 * 1024 * 1024,
  watchDirectories: 10_000,
  watchEntries: 100_000,
  workspaceWatchDirectories: 20_000,
  workspaceWatchEntries: 200_000,
  watchQueue: 10_000,
};
