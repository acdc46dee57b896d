import { Code } from "@connectrpc/connect";
import { HarnessError } from "@serverless-harness/kit/errors";

/** Bounds of a tree that is snapshotted, compared or restored. */
export interface TreeLimits {
  readonly fileBytes: number;
  /** Bytes of all files together. A bundle, which is smaller, has to fit into one S3 object of 5 GB. */
  readonly treeBytes: number;
  readonly files: number;
  /** Directories below each other. */
  readonly depth: number;
}

export const DEFAULT_TREE_LIMITS: TreeLimits = {
  fileBytes: 512 * 1024 * 1024,
  treeBytes: 4 * 1024 * 1024 * 1024,
  files: 200_000,
  depth: 256,
};

const WHAT: Readonly<Record<keyof TreeLimits, (limit: number) => string>> = {
  fileBytes: (limit) => `is larger than ${limit} bytes`,
  treeBytes: (limit) => `comes after ${limit} bytes, which is as much as a tree may hold`,
  files: (limit) => `comes after ${limit} files, which is as many as a tree may hold`,
  depth: (limit) => `lies below more than ${limit} directories`,
};

/** RESOURCE_EXHAUSTED `tree_too_large`: names the path at which a limit was met, and the limit. */
function tooLarge(limit: keyof TreeLimits, limits: TreeLimits, path: string, remedy: string): HarnessError {
  const message = `${path} ${WHAT[limit](limits[limit])}: ${remedy}`;
  const metadata = { path, limit: String(limits[limit]), limit_name: limit };
  return new HarnessError(Code.ResourceExhausted, "tree_too_large", message, { metadata });
}

/** Counts what a tree holds, and refuses what is too much. */
export class TreeMeter {
  readonly #limits: TreeLimits;
  readonly #remedy: string;
  #files = 0;
  #bytes = 0;

  /** `remedy`: what to do about what is too much. Default for a workspace's files. */
  constructor(limits: TreeLimits, remedy = "remove it, or name it in .gitignore") {
    this.#limits = limits;
    this.#remedy = remedy;
  }

  /** Count one more file. Throws if it is too much. */
  add(path: string, bytes: number): void {
    const limit = this.#exceeded(bytes);
    if (limit !== undefined) throw tooLarge(limit, this.#limits, path, this.#remedy);
    this.#files += 1;
    this.#bytes += bytes;
  }

  /** As {@link add}, but a file that is too much is not counted: returns why, as a part of a sentence. */
  refusal(bytes: number): string | undefined {
    const limit = this.#exceeded(bytes);
    if (limit !== undefined) return WHAT[limit](this.#limits[limit]);
    this.#files += 1;
    this.#bytes += bytes;
    return undefined;
  }

  /** The same for a directory at this depth. */
  depthRefusal(depth: number): string | undefined {
    return depth > this.#limits.depth ? WHAT.depth(this.#limits.depth) : undefined;
  }

  #exceeded(bytes: number): keyof TreeLimits | undefined {
    if (bytes > this.#limits.fileBytes) return "fileBytes";
    if (this.#bytes + bytes > this.#limits.treeBytes) return "treeBytes";
    return this.#files + 1 > this.#limits.files ? "files" : undefined;
  }

  /** Enter a directory at this depth. Throws if it is too deep. */
  enter(path: string, depth: number): void {
    if (depth > this.#limits.depth) throw tooLarge("depth", this.#limits, path, this.#remedy);
  }
}
