/** Bounds of the file operations. */
export interface FileLimits {
  /** Bytes of a file that Write makes. */
  readonly writeBytes: number;
  /** Bytes of a file that Edit changes: it is held in memory. */
  readonly editBytes: number;
  /** How long a search may take, in milliseconds. */
  readonly searchMs: number;
}

export const DEFAULT_FILE_LIMITS: FileLimits = {
  writeBytes: 256 * 1024 * 1024,
  editBytes: 8 * 1024 * 1024,
  searchMs: 30_000,
};
