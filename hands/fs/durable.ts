import { type FileHandle, open, rename } from "node:fs/promises";
import { dirname } from "node:path";
import type { Handle } from "@serverless-harness/kit/paths/handle";
import { errnoOf } from "@serverless-harness/kit/paths/path-error";

/** What a record survives: the death of the daemon and the sandbox, or that of the machine too. */
export type Durability = "process" | "machine";

/** Replace a file of the daemon's own state so that a crash leaves the old content or the new one; durable when it resolves. Mode 0600. */
export async function writeDurably(path: string, content: string): Promise<void> {
  const temporary = `${path}.new`;
  await usingFile(temporary, "w", 0o600, async (file) => {
    await file.writeFile(content);
    await file.sync();
  });
  await rename(temporary, path);
  await syncDirectory(dirname(path));
}

/** Make the names in a directory durable: a rename is only so once its directory is synced. */
export async function syncDirectory(path: string | Buffer): Promise<void> {
  await usingFile(path, "r", undefined, (file) => file.sync());
}

/**
 * {@link syncDirectory} of a workspace's directory. One that may be written but not read can't be synced: the system
 * decides when its changes are durable.
 */
export async function syncChanged(directory: Handle): Promise<void> {
  await syncDirectory(directory.path).catch((error: unknown) => {
    if (errnoOf(error) !== "EACCES") throw error;
  });
}

async function usingFile<T>(
  path: string | Buffer,
  flags: string,
  mode: number | undefined,
  use: (file: FileHandle) => Promise<T>,
): Promise<T> {
  const file = await open(path, flags, mode);
  try {
    return await use(file);
  } finally {
    await file.close();
  }
}

/** What the daemon remembers of a workspace can't be used: it is damaged, or something else is in its place. */
export class DamagedRecord extends Error {
  override readonly name = "DamagedRecord";
}

/** System errors that say that a file is not what the daemon wrote, whatever else works. */
const DAMAGED: ReadonlySet<string | undefined> = new Set(["EISDIR", "ENOTDIR", "ELOOP", "ENAMETOOLONG", "EIO", "EUCLEAN", "EBADMSG"]);

/** The error is about one workspace's record, not about the machine: other workspaces may well be readable. */
export function isDamagedRecord(error: unknown): boolean {
  return error instanceof DamagedRecord || DAMAGED.has(errnoOf(error));
}
