import { lstatSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { invalidArgument } from "@serverless-harness/kit/errors";
import type { Handle } from "@serverless-harness/kit/paths/handle";
import type { Location } from "@serverless-harness/kit/paths/locate";
import { pathError } from "@serverless-harness/kit/paths/path-error";
import { shownBytes } from "@serverless-harness/kit/paths/shown-name";

/** A place on the way to a repository, which is there. */
export type ExistingLocation = Location & { readonly entry: Handle };

/** Finds what is at an absolute path, through links too, and keeps it open. Throws if the path leads out of what may be looked at. */
export type Find = (path: string) => ExistingLocation;

/** Longest file that only says where something else is. */
const MAX_POINTER_BYTES = 64 * 1024;

/**
 * Where git keeps what belongs to the repository at a path: in its `.git`, where a `.git` file says, or there itself.
 * NOT_FOUND `not_found` if there is none.
 */
export async function gitDirOf(find: Find, path: string): Promise<ExistingLocation> {
  const named = find(path);
  if (!named.entry.stat().isDirectory()) throw pathError("not_directory", path);
  if (!isThere(named, ".git")) return repositoryAt(named, path);
  const place = find(`${named.resolvedPath}/.git`);
  if (place.entry.stat().isDirectory()) return repositoryAt(place, path);
  const target = /^gitdir: (.+)$/s.exec(await readPointer(place))?.[1];
  if (target === undefined) throw pathError("not_found", path);
  return repositoryAt(find(pathFrom(named, target)), path);
}

/** Where most of a worktree is kept: it has little of its own. */
export async function commonDirOf(find: Find, gitDir: ExistingLocation): Promise<ExistingLocation> {
  if (!isThere(gitDir, "commondir")) return gitDir;
  return find(pathFrom(gitDir, await readPointer(find(`${gitDir.resolvedPath}/commondir`))));
}

/** A directory has something of this name, if only a link that leads nowhere. */
export function isThere({ entry }: ExistingLocation, name: string): boolean {
  return lstatSync(entry.child(name), { throwIfNoEntry: false }) !== undefined;
}

/** A path as a file in a directory of git's gives it. */
export function pathFrom(place: ExistingLocation, target: string): string {
  return target.startsWith("/") ? target : `${place.resolvedPath}/${target}`;
}

/** What a small file says, without the newline at its end; paths in it are as they are shown. */
export async function readPointer({ entry, resolvedPath }: ExistingLocation): Promise<string> {
  const stat = entry.stat();
  if (!stat.isFile() || stat.size > MAX_POINTER_BYTES) {
    const description = `names a repository that has a ${resolvedPath.split("/").at(-1)} that git does not write`;
    throw invalidArgument([{ field: "url", description }]);
  }
  return shownBytes(await readFile(entry.path)).replace(/[\r\n]+$/, "");
}

/** A directory that git would take for its own, and in which it would not look for another one. */
function repositoryAt(place: ExistingLocation, path: string): ExistingLocation {
  if (!place.entry.stat().isDirectory() || !isThere(place, "HEAD") || isThere(place, ".git")) throw pathError("not_found", path);
  return place;
}
