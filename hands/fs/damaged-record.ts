import { errnoOf } from "@serverless-harness/kit/paths/path-error";

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
