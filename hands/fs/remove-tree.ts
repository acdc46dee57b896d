import { chmodSync, renameSync, rmdirSync } from "node:fs";
import { lstat, rmdir, unlink } from "node:fs/promises";
import { setImmediate as nextTurn } from "node:timers/promises";
import { newId } from "@serverless-harness/kit/ids";
import { type Handle, openDirectory } from "@serverless-harness/kit/paths/handle";
import { errnoOf } from "@serverless-harness/kit/paths/path-error";
import { type ByteName, childPath, namesIn, openChildDirectory, statChild } from "./byte-names.ts";

/** Files that are removed side by side. */
const BATCH = 32;

/** How long the removal works before it lets the rest of the daemon run. */
const SLICE_MS = 5;

const OWNER = 0o700n;

/**
 * Remove whatever is at `path`, with everything below. A no-op if nothing is. The depth does not matter: directories
 * are reached by handles, two at a time, since each one that is met is moved up to the top first. Directories that
 * their owner may not write, as package caches have, are made writable. Symbolic links are removed, never followed.
 */
export async function removeTree(path: string): Promise<void> {
  const stat = await lstat(path).catch(ignoreMissing);
  if (stat === undefined) return;
  if (!stat.isDirectory()) return unlink(path);
  {
    using top = openDirectory(path);
    makeWritable(top);
    let slice = performance.now();
    for (let names = [...namesIn(top)]; names.length > 0; names = [...namesIn(top)]) {
      await removeFiles(top, names);
      for (const name of names) {
        await removeBelow(top, name);
        if (performance.now() - slice < SLICE_MS) continue;
        await nextTurn();
        slice = performance.now();
      }
    }
  }
  await rmdir(path);
}

/** Empty and remove a directory in `top`; what it has of directories is in `top` then. A no-op if it is gone. */
async function removeBelow(top: Handle, name: ByteName): Promise<void> {
  using directory = openChildDirectory(top, name);
  if (directory === undefined) return;
  makeWritable(directory);
  const names = [...namesIn(directory)];
  for (const child of await removeFiles(directory, names)) {
    using below = openChildDirectory(directory, child);
    // To be moved it has to be writable itself, as its parent's name is in it.
    if (below !== undefined) makeWritable(below);
    renameSync(childPath(directory, child), childPath(top, newId("tree")));
  }
  rmdirSync(childPath(top, name));
}

/**
 * Remove what is no directory, and return the names of the rest. All calls are over when this resolves or rejects:
 * none may use a closed handle.
 */
async function removeFiles(directory: Handle, names: readonly ByteName[]): Promise<ByteName[]> {
  const directories: ByteName[] = [];
  const files: ByteName[] = [];
  for (const name of names) (statChild(directory, name)?.isDirectory() === true ? directories : files).push(name);
  for (let at = 0; at < files.length; at += BATCH) {
    const removals = files.slice(at, at + BATCH).map((name) => unlink(childPath(directory, name)).catch(ignoreMissing));
    for (const end of await Promise.allSettled(removals)) if (end.status === "rejected") throw end.reason;
  }
  return directories;
}

function makeWritable(directory: Handle): void {
  if ((directory.stat().mode & OWNER) !== OWNER) chmodSync(directory.path, Number(OWNER));
}

function ignoreMissing(error: unknown): undefined {
  if (errnoOf(error) !== "ENOENT") throw error;
}
