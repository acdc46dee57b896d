import { Code } from "@connectrpc/connect";
import { HarnessError } from "@serverless-harness/kit/errors";

/** Bounds of a repository that is cloned; those of its tree are {@link TreeLimits}, those of its time are in ClonesOptions. */
export interface SourceLimits {
  /** Branches and tags. */
  readonly refs: number;
  /** Bytes that a fetch may bring. */
  readonly bytes: number;
}

export const DEFAULT_SOURCE_LIMITS: SourceLimits = { refs: 50_000, bytes: 8 * 1024 * 1024 * 1024 };

const WHAT: Readonly<Record<keyof SourceLimits, (limit: number) => string>> = {
  refs: (limit) => `has more than ${limit} branches and tags`,
  bytes: (limit) => `has more than ${limit} bytes of history`,
};

/** RESOURCE_EXHAUSTED `source_too_large`: names the limit that was met. */
export function sourceTooLarge(limit: keyof SourceLimits, limits: SourceLimits): HarnessError {
  const message = `the repository ${WHAT[limit](limits[limit])}, which is as much as is cloned: choose a smaller one, or a copy with less history`;
  return new HarnessError(Code.ResourceExhausted, "source_too_large", message, { metadata: { [limit]: String(limits[limit]) } });
}
