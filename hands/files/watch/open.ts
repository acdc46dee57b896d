import { readdirSync } from "node:fs";
import { type Handle, openDirectory } from "@serverless-harness/kit/paths/handle";
import { errnoOf } from "@serverless-harness/kit/paths/path-error";
import { inodeOf } from "../../changes/witness.ts";
import { childPath } from "../../fs/byte-handle.ts";

/** The directory of this name, if it is this inode. */
export function openSame(parent: Handle, name: string, inode: string): Handle | undefined {
  try {
    const handle = openDirectory(childPath(parent, name));
    if (inodeOf(handle.stat()) === inode) return handle;
    handle[Symbol.dispose]();
    return undefined;
  } catch (error) {
    if (isGone(error)) return undefined;
    throw error;
  }
}

/** All names in a directory (`latin1`); none where it can't be read. */
export function namesIn(directory: Handle): string[] {
  try {
    return readdirSync(directory.path, { encoding: "latin1" });
  } catch (error) {
    if (isGone(error)) return [];
    throw error;
  }
}

/** It went away, became something else, or can't be read. */
export function isGone(error: unknown): boolean {
  return ["ENOENT", "ENOTDIR", "ELOOP", "EACCES"].includes(errnoOf(error) ?? "");
}
