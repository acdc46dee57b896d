import { closeSync, constants, openSync, readSync } from "node:fs";
import { type Handle, openInode } from "@serverless-harness/kit/paths/handle";
import { errnoOf } from "@serverless-harness/kit/paths/path-error";

/** Files up to this size are searched without a look at what is in them. */
const LARGE_BYTES = 1024 * 1024;
const SAMPLE_BYTES = 8 * 1024;

/**
 * A regular file to search; `undefined` where it is gone, or something else by now, or may not be read. A large one that is plainly binary
 * is left out here already: reading through it is what takes time, and nothing in it would be shown.
 */
export function openToSearch(path: string | Buffer): Handle | undefined {
  try {
    using stack = new DisposableStack();
    const handle = stack.use(openInode(path));
    const stat = handle.stat();
    if (!stat.isFile() || (stat.size > LARGE_BYTES && beginsBinary(handle))) return undefined;
    stack.move();
    return handle;
  } catch (error) {
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "EACCES") return undefined;
    throw error;
  }
}

function beginsBinary(file: Handle): boolean {
  const fd = openSync(file.path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const sample = Buffer.alloc(SAMPLE_BYTES);
    return sample.subarray(0, readSync(fd, sample, 0, SAMPLE_BYTES, 0)).includes(0);
  } finally {
    closeSync(fd);
  }
}
