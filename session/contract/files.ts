import { Validation } from "@serverless-harness/kit/validate";
import type { Leaf } from "@serverless-harness/proto/leaf";

/**
 * Leaves whose files on the volume have to be written: those with `spec.files` that are over, or ask a human. A leaf stands here from the step
 * that ended it, or let go of it at a gate, until somebody says that its files are written.
 */
export interface Files {
  /** Such leaves, at most `limit` (1 to 50), the one that waits for longest first. */
  filesDue(limit: number): Promise<Leaf[]>;
  /** What a leaf had to show at its event `seq` is written. One to which something has happened since stands where it stood. */
  filesWritten(leafId: string, seq: bigint): Promise<void>;
  /** A leaf's files can't be written now: it stands after all others. */
  filesPutOff(leafId: string): Promise<void>;
}

/** Throw INVALID_ARGUMENT that names what is out of range. */
export function checkFilesDue(limit: number): void {
  const validation = new Validation();
  validation.range("limit", limit, 1, 50);
  validation.done();
}
