import { chmod, lstat, readdir, rm } from "node:fs/promises";
import { errnoOf } from "./fs-error.ts";

const SLASH = Buffer.from("/");

/**
 * Remove whatever is at `path`, with everything below. A no-op where nothing is. Directories that their owner may not write, as
 * package caches have, are made writable first. Only for places that commands can't reach: it follows names, not handles.
 */
export async function removeTree(path: string): Promise<void> {
  try {
    await rm(path, { recursive: true, force: true });
  } catch (error) {
    if (errnoOf(error) !== "EACCES" && errnoOf(error) !== "EPERM") throw error;
    await makeWritable(Buffer.from(path));
    await rm(path, { recursive: true, force: true });
  }
}

async function makeWritable(directory: Buffer): Promise<void> {
  if (!(await lstat(directory)).isDirectory()) return;
  await chmod(directory, 0o700);
  for (const entry of await readdir(directory, { withFileTypes: true, encoding: "buffer" })) {
    if (entry.isDirectory()) await makeWritable(Buffer.concat([directory, SLASH, entry.name]));
  }
}
