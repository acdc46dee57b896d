import type { BigIntStats } from "node:fs";
import { basename } from "node:path";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { type FileInfoSchema, FileKind } from "@serverless-harness/proto/hands";

/** Permission bits, with set-uid, set-gid and sticky. */
export const MODE_BITS = 0o7777;

/** Describe what is at `path`, an absolute path as a command sees it. */
export function describe(stat: BigIntStats, path: string): MessageInitShape<typeof FileInfoSchema> {
  return {
    name: basename(path),
    path,
    kind: kindOf(stat),
    size: stat.size,
    mtimeNs: stat.mtimeNs,
    mode: Number(stat.mode) & MODE_BITS,
    etag: stat.isFile() ? etagOf(stat) : "",
  };
}

/**
 * Changes with the content: what replaces a file has another inode, what writes into it moves its times (the change time can't be set
 * back). Two writes in place of equal size within one tick of the kernel's clock are not told apart.
 */
export function etagOf(stat: BigIntStats): string {
  return [stat.ino, stat.size, stat.mtimeNs, stat.ctimeNs].map((part) => part.toString(36)).join("-");
}

/** The same content, as far as {@link etagOf} can tell. */
export function sameContent(a: BigIntStats, b: BigIntStats): boolean {
  return a.dev === b.dev && etagOf(a) === etagOf(b);
}

export function kindOf(stat: BigIntStats): FileKind {
  if (stat.isFile()) return FileKind.FILE;
  if (stat.isDirectory()) return FileKind.DIRECTORY;
  return stat.isSymbolicLink() ? FileKind.SYMLINK : FileKind.UNSPECIFIED;
}
