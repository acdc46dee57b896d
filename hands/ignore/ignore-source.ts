import { closeSync, constants, openSync, readSync } from "node:fs";
import { Code } from "@connectrpc/connect";
import { HarnessError } from "@serverless-harness/kit/errors";
import type { Handle } from "@serverless-harness/kit/paths/handle";
import { errnoOf } from "@serverless-harness/kit/paths/path-error";
import { type BytePath, openChild } from "../fs/byte-handle.ts";
import { IgnoreRules } from "./ignore-rules.ts";

/** Reads the rules that hold in a directory, given those that hold above it. `path`: the directory's, with a slash at the end, or `""` for the root. */
export type IgnoreSource = (directory: Handle, path: BytePath, above: IgnoreRules | undefined) => IgnoreRules | undefined;

export const IGNORE_FILE = ".gitignore";

/** Nobody writes longer files of rules by hand. */
const MAX_BYTES = 256 * 1024;
/** For searches, which go on without the rules of a longer file. */
const MAX_SEARCHED_BYTES = 1024 * 1024;

/** The .gitignore files in the tree itself. As for git, one that is a symbolic link does not count. */
export const rulesOnDisk: IgnoreSource = (directory, path, above) => {
  using file = openIgnoreFile(directory);
  if (file === undefined) return above;
  const size = sizeOf(file);
  if (size <= MAX_BYTES) return IgnoreRules.read(readText(file, size), path, above);
  const message = `a .gitignore file of the workspace is larger than ${MAX_BYTES} bytes: make it smaller`;
  throw new HarnessError(Code.FailedPrecondition, "ignore_rules_too_complex", message);
};

/** The same for searches and watches: a file that is too large or can't be read does not count. */
export const rulesForSearch: IgnoreSource = (directory, path, above) => {
  try {
    using file = openIgnoreFile(directory);
    if (file === undefined) return above;
    const size = sizeOf(file);
    return size > MAX_SEARCHED_BYTES ? above : IgnoreRules.read(readText(file, size), path, above);
  } catch (error) {
    if (errnoOf(error) === "EACCES") return above;
    throw error;
  }
};

/** The rules of .gitignore files that are given by their directories' paths, whatever is on the disk. */
export function givenRules(contents: ReadonlyMap<BytePath, string>): IgnoreSource {
  return (_directory, path, above) => {
    const content = contents.get(path);
    return content === undefined ? above : IgnoreRules.read(content, path, above);
  };
}

function openIgnoreFile(directory: Handle): Handle | undefined {
  const file = openChild(directory, IGNORE_FILE);
  if (file === undefined || file.stat().isFile()) return file;
  file[Symbol.dispose]();
  return undefined;
}

function sizeOf(file: Handle): number {
  return Number(file.stat().size);
}

function readText(file: Handle, size: number): string {
  const fd = openSync(file.path, constants.O_RDONLY);
  try {
    const buffer = Buffer.alloc(size);
    return buffer.toString("latin1", 0, readSync(fd, buffer, 0, size, 0));
  } finally {
    closeSync(fd);
  }
}
