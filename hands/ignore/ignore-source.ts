import { closeSync, constants, openSync, readSync } from "node:fs";
import { Code } from "@connectrpc/connect";
import { HarnessError } from "@serverless-harness/kit/errors";
import type { Handle } from "@serverless-harness/kit/paths/handle";
import { openChild } from "../fs/byte-handle.ts";
import type { BytePath } from "../git/tree-entries.ts";
import { IgnoreRules } from "./ignore-rules.ts";

/**
 * The rules that hold in a directory, given those that hold above it. `path` is the directory's, with a slash behind, or empty for the root.
 */
export type IgnoreSource = (directory: Handle, path: BytePath, above: IgnoreRules | undefined) => IgnoreRules | undefined;

export const IGNORE_FILE = ".gitignore";

/** Longer files are no rules that anybody wrote. */
const MAX_BYTES = 256 * 1024;

/** The rules of the .gitignore files in the tree itself. One that is a symbolic link counts for nothing, as for git. */
export const rulesOnDisk: IgnoreSource = (directory, path, above) => {
  using handle = openChild(directory, IGNORE_FILE);
  if (handle === undefined) return above;
  const stat = handle.stat();
  if (!stat.isFile()) return above;
  if (stat.size > MAX_BYTES) {
    const message = `a .gitignore file of the workspace is larger than ${MAX_BYTES} bytes: make it smaller`;
    throw new HarnessError(Code.FailedPrecondition, "ignore_rules_too_complex", message);
  }
  return IgnoreRules.read(readText(handle, Number(stat.size)), path, above);
};

/** The rules of .gitignore files that are given by their directories' paths, whatever is on the disk. */
export function givenRules(contents: ReadonlyMap<BytePath, string>): IgnoreSource {
  return (_directory, path, above) => {
    const content = contents.get(path);
    return content === undefined ? above : IgnoreRules.read(content, path, above);
  };
}

function readText(handle: Handle, size: number): string {
  const fd = openSync(handle.path, constants.O_RDONLY);
  try {
    const buffer = Buffer.alloc(size);
    const read = readSync(fd, buffer, 0, size, 0);
    return buffer.toString("latin1", 0, read);
  } finally {
    closeSync(fd);
  }
}
