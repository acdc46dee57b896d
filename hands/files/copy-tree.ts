import { type BigIntStats, constants, opendirSync, readlinkSync, symlinkSync } from "node:fs";
import { chmod, copyFile, mkdir, utimes } from "node:fs/promises";
import { join } from "node:path";
import { type Handle, openDirectory, openInode } from "./handle.ts";

/** Errors of what vanishes, or becomes something else, while it is copied. */
const GONE: ReadonlySet<string | undefined> = new Set(["ENOENT", "ENOTDIR", "ELOOP"]);

/**
 * Copy a directory whose content commands may change meanwhile: it is walked by handles, so nothing that is swapped in leads outside.
 * Files (their blocks shared where the file system can), directories and symbolic links, with modes and times; what is none of these is left out,
 * and so is what vanishes meanwhile. `target` must be out of the reach of commands, and is made.
 */
export async function copyTree(source: string, target: string): Promise<void> {
  using root = openDirectory(source);
  await copyDirectory(root, target);
}

async function copyDirectory(from: Handle, to: string): Promise<void> {
  const stat = from.stat();
  await mkdir(to, { mode: 0o700 });
  for (const name of namesIn(from)) await copyEntry(from, name, join(to, name)).catch(ignoreGone);
  await dress(to, stat);
}

async function copyEntry(directory: Handle, name: string, to: string): Promise<void> {
  using entry = openInode(directory.child(name));
  const stat = entry.stat();
  if (stat.isDirectory()) {
    using child = openDirectory(directory.child(name));
    await copyDirectory(child, to);
  } else if (stat.isSymbolicLink()) {
    symlinkSync(readlinkSync(directory.child(name)), to);
  } else if (stat.isFile()) {
    await copyFile(entry.path, to, constants.COPYFILE_FICLONE);
    await dress(to, stat);
  }
}

/** Give a copy its original's permissions and times. */
async function dress(path: string, stat: BigIntStats): Promise<void> {
  await chmod(path, Number(stat.mode & 0o7777n));
  await utimes(path, Number(stat.atimeMs) / 1000, Number(stat.mtimeMs) / 1000);
}

function namesIn(directory: Handle): string[] {
  const names: string[] = [];
  const opened = opendirSync(directory.path);
  try {
    for (let entry = opened.readSync(); entry !== null; entry = opened.readSync()) names.push(entry.name);
  } finally {
    opened.closeSync();
  }
  return names;
}

function ignoreGone(error: NodeJS.ErrnoException): void {
  if (!GONE.has(error.code)) throw error;
}
