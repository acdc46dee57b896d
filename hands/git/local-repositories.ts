import { lstatSync, statSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { Code } from "@connectrpc/connect";
import { HarnessError, invalidArgument } from "@serverless-harness/kit/errors";
import { pathError, translateError } from "../files/fs-error.ts";
import { type Handle, inodeKey } from "../files/handle.ts";
import { type Location, locate, type Root } from "../paths.ts";
import { LocalContents } from "./local-contents.ts";
import { sourceUnavailable } from "./source-error.ts";

/** Which repositories of this machine may be cloned. */
export interface LocalRepositoriesOptions {
  /** Directories whose repositories may be cloned by everybody who may make a workspace. Default: none. */
  readonly roots?: readonly Root[];
  /** Hands' own directories, which are there: nothing below them is a source, wherever they lie. */
  readonly own?: readonly string[];
}

/** A local repository, held by handles: whatever is renamed meanwhile, this is what was checked. Dispose it. */
export interface LocalRepository extends Disposable {
  /** Git's own directory of the repository, or of the worktree that was named. */
  readonly gitDir: Handle;
  /** Directories of objects that it borrows. */
  readonly alternates: readonly Handle[];
}

/** A place on the way from a path to a repository, which is there. */
type Place = Location & { readonly entry: Handle };

/** Longest file that only says where something else is. */
const MAX_POINTER_BYTES = 64 * 1024;
/** As many directories of objects a repository may borrow from, directly or by those. */
const MAX_ALTERNATES = 16;

/**
 * The repositories below directories that an operator named. Links, `.git` files, worktrees and borrowed objects are followed as long as they stay
 * below those directories and out of hands' own ones, where other tenants' workspaces are; anything else is refused.
 */
export class LocalRepositories {
  readonly #roots: readonly Root[];

  constructor({ roots = [], own = [] }: LocalRepositoriesOptions = {}) {
    const closed = new Set(own.map((path) => inodeKey(statSync(path, { bigint: true }))));
    this.#roots = roots.map((root) => ({ ...root, closed }));
  }

  /** Some local repository may be cloned. */
  get any(): boolean {
    return this.#roots.length > 0;
  }

  /** As far as its text tells, an absolute path without `..` lies below a named directory. */
  covers(path: string): boolean {
    return this.#roots.some((root) => path === root.path || path.startsWith(root.path.replace(/\/*$/, "/")));
  }

  /**
   * Open the repository at a path. UNAVAILABLE `source_unavailable` where there is none that can be read; INVALID_ARGUMENT where something that git
   * would read of it lies elsewhere.
   */
  async open(path: string, signal?: AbortSignal): Promise<LocalRepository> {
    using handles = new DisposableStack();
    try {
      const place = (from: string): Place => handles.use(this.#place(from));
      const gitDir = await gitDirOf(place, path);
      const common = await commonDirOf(place, gitDir);
      const contents = new LocalContents((from) => this.#locate(from), signal);
      await contents.checkRepository(gitDir);
      if (common !== gitDir) await contents.checkRepository(common);
      const alternates = await alternatesOf(place, common);
      for (const objects of alternates) await contents.checkTree(objects);
      const kept = handles.move();
      return { gitDir: gitDir.entry, alternates: alternates.map(({ entry }) => entry), [Symbol.dispose]: () => kept.dispose() };
    } catch (error) {
      throw translate(error, path);
    }
  }

  #place(path: string): Place {
    const location = this.#locate(path);
    if (location.entry !== undefined) return location as Place;
    location[Symbol.dispose]();
    throw pathError("not_found", path);
  }

  #locate(path: string): Location {
    const [first, ...others] = this.#roots;
    if (first === undefined) throw pathError("path_outside", path);
    return locate([first, ...others], path, { follow: true });
  }
}

type Find = (path: string) => Place;

/** Where git keeps what belongs to the repository at a path: in its `.git`, where a `.git` file says, or there itself. */
async function gitDirOf(find: Find, path: string): Promise<Place> {
  const named = find(path);
  if (!named.entry.stat().isDirectory()) throw pathError("not_directory", path);
  const inner = lstatSync(named.entry.child(".git"), { throwIfNoEntry: false });
  if (inner === undefined) return repositoryAt(named, path);
  const place = find(`${named.resolvedPath}/.git`);
  if (place.entry.stat().isDirectory()) return repositoryAt(place, path);
  const target = /^gitdir: (.+)$/s.exec(await readPointer(place))?.[1];
  if (target === undefined) throw pathError("not_found", path);
  return repositoryAt(find(from(named, target)), path);
}

/** A directory that git would take for its own; git itself must not find another one in it. */
function repositoryAt(place: Place, path: string): Place {
  const has = (name: string): boolean => lstatSync(place.entry.child(name), { throwIfNoEntry: false }) !== undefined;
  if (!place.entry.stat().isDirectory() || !has("HEAD") || has(".git")) throw pathError("not_found", path);
  return place;
}

/** A worktree keeps little of its own: where the rest is. */
async function commonDirOf(find: Find, gitDir: Place): Promise<Place> {
  if (lstatSync(gitDir.entry.child("commondir"), { throwIfNoEntry: false }) === undefined) return gitDir;
  return find(from(gitDir, await readPointer(find(`${gitDir.resolvedPath}/commondir`))));
}

async function alternatesOf(find: Find, common: Place): Promise<Place[]> {
  const found: Place[] = [];
  const waiting = [find(`${common.resolvedPath}/objects`)];
  for (let objects = waiting.shift(); objects !== undefined; objects = waiting.shift()) {
    const info = find(objects.resolvedPath);
    if (lstatSync(info.entry.child("info/alternates"), { throwIfNoEntry: false }) === undefined) continue;
    const lines = (await readPointer(find(`${objects.resolvedPath}/info/alternates`))).split("\n");
    for (const line of lines) {
      if (line === "" || line.startsWith("#")) continue;
      const next = find(from(objects, line));
      if (found.length === MAX_ALTERNATES) throw refused(`borrows objects from more than ${MAX_ALTERNATES} directories: repack it`);
      if (found.some(({ resolvedPath }) => resolvedPath === next.resolvedPath)) continue;
      found.push(next);
      waiting.push(next);
    }
  }
  return found;
}

/** A path as a file in a directory of git's gives it. */
function from(place: Place, target: string): string {
  return target.startsWith("/") ? target : `${place.resolvedPath}/${target}`;
}

async function readPointer({ entry, resolvedPath }: Place): Promise<string> {
  const stat = entry.stat();
  if (!stat.isFile() || stat.size > MAX_POINTER_BYTES) throw refused(`has a ${resolvedPath.split("/").at(-1)} that git does not write`);
  return (await readFile(entry.path, "utf8")).replace(/[\r\n]+$/, "");
}

function refused(description: string): HarnessError {
  return invalidArgument([{ field: "url", description }]);
}

function translate(error: unknown, path: string): unknown {
  const known = translateError(error, path);
  if (!(known instanceof HarnessError)) return known;
  if (known.reason === "path_outside") {
    const message = "is, or leads to, what is not below the directories whose repositories may be cloned (HANDS_LOCAL_REPOSITORIES)";
    return refused(message);
  }
  if (known.code === Code.PermissionDenied) return sourceUnavailable(path, "its files can't be read by the sandbox's user", known);
  if (known.code === Code.NotFound || known.code === Code.FailedPrecondition)
    return sourceUnavailable(path, "there is no such repository", known);
  return known;
}
