import { type BigIntStats, lstatSync, readdirSync } from "node:fs";
import { type Handle, openDirectory } from "@serverless-harness/kit/paths/handle";
import { errnoOf } from "@serverless-harness/kit/paths/path-error";
import { FileKind } from "@serverless-harness/proto/hands";
import { inodeOf } from "../../changes/witness.ts";
import { childPath } from "../../fs/byte-names.ts";
import { kindOf } from "../../fs/file-info.ts";

/** What an entry of a directory looked like. Two looks are compared to tell what happened in between. */
export interface EntryState {
  readonly kind: FileKind;
  readonly inode: string;
  /** Differs if the content, mode or owner does. */
  readonly print: string;
  readonly ctimeNs: bigint;
  readonly links: bigint;
}

/**
 * A file that changed less than this many milliseconds ago may change again without showing it: the kernel's clock for time stamps ticks
 * every 10 ms at the slowest.
 */
export const TICK_MS = 20;

/** Look at a name (`latin1`) in a directory. `undefined` if nothing is there. */
export function entryState(directory: Handle, name: string): EntryState | undefined {
  const stat = statOf(directory, name);
  if (stat === undefined) return undefined;
  const { uid, gid, mode, size, mtimeNs, ctimeNs, nlink } = stat;
  const inode = inodeOf(stat);
  // What happens in a directory is told of its entries, not of itself.
  const content = stat.isDirectory() ? "" : `${inode}:${size}:${mtimeNs}`;
  return { kind: kindOf(stat), inode, print: `${content}:${mode}:${uid}:${gid}`, ctimeNs, links: nlink };
}

/** It is another entry now, not a changed one. A file that takes another one's place by a rename counts as changed. */
export function isReplaced(before: EntryState, now: EntryState): boolean {
  return before.kind !== now.kind || (now.kind === FileKind.DIRECTORY && before.inode !== now.inode);
}

/** It changed. The change time alone tells a write that set the other times back; but it moves with each hard link too. */
export function isChanged(before: EntryState, now: EntryState): boolean {
  if (before.print !== now.print) return true;
  return now.kind !== FileKind.DIRECTORY && before.ctimeNs !== now.ctimeNs && before.links === now.links;
}

/** A change right after this look might not show in the next one. */
export function isRacy({ kind, ctimeNs }: EntryState): boolean {
  const age = Date.now() - Number(ctimeNs / 1_000_000n);
  return kind !== FileKind.DIRECTORY && age >= 0 && age < TICK_MS;
}

/** The look with a print that no other has, so that the next one finds a change. */
export function unsettled(look: EntryState): EntryState {
  return { ...look, print: `~${look.print}` };
}

function statOf(directory: Handle, name: string): BigIntStats | undefined {
  try {
    return lstatSync(childPath(directory, name), { bigint: true, throwIfNoEntry: false });
  } catch (error) {
    if (["ENOENT", "ENOTDIR", "EACCES"].includes(errnoOf(error) ?? "")) return undefined;
    throw error;
  }
}

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

/** All names in a directory (`latin1`); none if it can't be read. */
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
