import type { Readable } from "node:stream";
import { Code } from "@connectrpc/connect";
import { HarnessError, invalidArgument } from "@serverless-harness/kit/errors";

/**
 * What an artifact is made of: a file, by its path, that nobody changes meanwhile, or bytes. Both can be read again
 * if a call has to be repeated.
 */
export type ArtifactContent = { readonly file: string } | { readonly bytes: Uint8Array };

/**
 * Keeps what has to outlive a sandbox, by key. An artifact is there as a whole or not at all, whoever crashes when.
 *
 * Errors of every method: INVALID_ARGUMENT for a bad key; UNAVAILABLE `artifacts_unavailable` if the store can't be reached or fails;
 * FAILED_PRECONDITION `artifacts_misconfigured` if only an operator can help; RESOURCE_EXHAUSTED `no_space`.
 */
export interface ArtifactStore {
  /** Store an artifact; durable when this resolves. Replaces the one of that key. */
  put(key: string, content: ArtifactContent): Promise<void>;
  /** The content, to be read or destroyed; `undefined` if there is none. Another put or delete meanwhile does not change what is read. */
  get(key: string): Promise<Readable | undefined>;
  has(key: string): Promise<boolean>;
  /** Idempotent. */
  delete(key: string): Promise<void>;
  /**
   * Delete every artifact whose key begins with `prefix` and a slash; `prefix` is made as keys are. Idempotent; one
   * that fails may have deleted some.
   */
  deleteBelow(prefix: string): Promise<void>;
  /** Let go of connections. */
  close(): void;
}

/** Longest key in bytes: S3 takes 1024, and a prefix comes before it. */
const MAX_KEY = 700;
const MAX_NAME = 250;
const NAME = /^[A-Za-z0-9._:-]+$/;

/**
 * Throw INVALID_ARGUMENT unless `key` is names of A-Z a-z 0-9 . _ : - joined by slashes, of which none is `.` or `..`. No key may be the
 * first names of another one: a directory can't hold both.
 */
export function assertKey(key: string): void {
  const names = key.split("/");
  const ok = key.length <= MAX_KEY && names.every((name) => NAME.test(name) && name.length <= MAX_NAME && name !== "." && name !== "..");
  if (ok) return;
  const description = `must be names of A-Z a-z 0-9 . _ : - joined by slashes, none of them . or .., at most ${MAX_KEY} characters`;
  throw invalidArgument([{ field: "key", description }]);
}

/** The store can't be used right now. */
export function artifactsUnavailable(message: string, cause: unknown): HarnessError {
  return new HarnessError(Code.Unavailable, "artifacts_unavailable", `the artifact store ${message}: try again later`, { cause });
}

/** The store can't be used until somebody mends its configuration. */
export function artifactsMisconfigured(message: string, cause?: unknown): HarnessError {
  return new HarnessError(Code.FailedPrecondition, "artifacts_misconfigured", `the artifact store ${message}`, { cause });
}
