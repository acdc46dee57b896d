import { accessSync, type BigIntStats, constants } from "node:fs";
import type { Handle } from "@serverless-harness/kit/paths/handle";
import type { Location } from "@serverless-harness/kit/paths/locate";
import { pathError } from "@serverless-harness/kit/paths/path-error";
import { etagOf } from "../fs/file-info.ts";

/** A regular file, held by a handle, as it was when it was looked at. */
export interface ExistingFile {
  readonly handle: Handle;
  readonly stat: BigIntStats;
}

/**
 * The regular file at a location; `undefined` if nothing is. FAILED_PRECONDITION `is_directory`, `not_a_file`.
 * `path`: as the client names it.
 */
export function fileAt(location: Location, path: string): ExistingFile | undefined {
  if (location.entry === undefined) return undefined;
  const stat = location.entry.stat();
  if (stat.isDirectory()) throw pathError("is_directory", path);
  if (!stat.isFile()) throw pathError("not_a_file", path);
  return { handle: location.entry, stat };
}

/**
 * FAILED_PRECONDITION `etag_mismatch` unless the file is the one that was asked for: of this ETag, or none at all (`*`). An empty
 * `ifMatch` asks for nothing. The metadata tell the ETag now.
 */
export function requireMatch(ifMatch: string, file: ExistingFile | undefined, path: string): void {
  if (ifMatch === "") return;
  const etag = file === undefined ? "" : etagOf(file.stat);
  if (ifMatch === "*" ? file === undefined : etag === ifMatch) return;
  throw pathError("etag_mismatch", path, { metadata: { etag } });
}

/** Refuse what a command of this user could not write either: a rename alone would not ask. Throws EACCES. */
export function requireWritable(file: ExistingFile): void {
  accessSync(file.handle.path, constants.W_OK);
}
