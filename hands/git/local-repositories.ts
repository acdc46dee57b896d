import { statSync } from "node:fs";
import { Code } from "@connectrpc/connect";
import { HarnessError, invalidArgument } from "@serverless-harness/kit/errors";
import { type Handle, inodeKey } from "@serverless-harness/kit/paths/handle";
import { type Location, locate, type Root } from "@serverless-harness/kit/paths/locate";
import { pathError, translateError } from "@serverless-harness/kit/paths/path-error";
import { commonDirOf, type ExistingLocation, type Find, gitDirOf, isThere, pathFrom, readPointer } from "./git-dir.ts";
import { LocalContents } from "./local-contents.ts";
import { sourceUnavailable } from "./source-error.ts";

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

/** As many directories of objects a repository may borrow from, directly or by those. */
const MAX_ALTERNATES = 16;

/**
 * The repositories below directories that an operator named. Links, `.git` files, worktrees and borrowed objects are
 * followed as long as they stay below those directories and out of hands' own ones, where other tenants' workspaces
 * are; anything else is refused.
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
   * Open the repository at a path. UNAVAILABLE `source_unavailable` if there is none that can be read;
   * INVALID_ARGUMENT if something that git would read of it lies elsewhere.
   */
  async open(path: string, signal?: AbortSignal): Promise<LocalRepository> {
    using handles = new DisposableStack();
    try {
      const find = (from: string): ExistingLocation => handles.use(this.#existing(from));
      const gitDir = await gitDirOf(find, path);
      const common = await commonDirOf(find, gitDir);
      const contents = new LocalContents((from) => this.#locate(from), signal);
      await contents.checkRepository(gitDir);
      if (common !== gitDir) await contents.checkRepository(common);
      const alternates = await alternatesOf(find, common);
      for (const objects of alternates) await contents.checkTree(objects);
      const kept = handles.move();
      return { gitDir: gitDir.entry, alternates: alternates.map(({ entry }) => entry), [Symbol.dispose]: () => kept.dispose() };
    } catch (error) {
      throw translate(error, path);
    }
  }

  #existing(path: string): ExistingLocation {
    const location = this.#locate(path);
    if (location.entry !== undefined) return location as ExistingLocation;
    location[Symbol.dispose]();
    throw pathError("not_found", path);
  }

  #locate(path: string): Location {
    const [first, ...others] = this.#roots;
    if (first === undefined) throw pathError("path_outside", path);
    return locate([first, ...others], path, { follow: true });
  }
}

async function alternatesOf(find: Find, common: ExistingLocation): Promise<ExistingLocation[]> {
  const found: ExistingLocation[] = [];
  const waiting = [find(`${common.resolvedPath}/objects`)];
  for (let objects = waiting.shift(); objects !== undefined; objects = waiting.shift()) {
    const info = find(objects.resolvedPath);
    if (!isThere(info, "info/alternates")) continue;
    const lines = (await readPointer(find(`${objects.resolvedPath}/info/alternates`))).split("\n");
    for (const line of lines) {
      if (line === "" || line.startsWith("#")) continue;
      const next = find(pathFrom(objects, line));
      if (found.length === MAX_ALTERNATES) throw refused(`borrows objects from more than ${MAX_ALTERNATES} directories: repack it`);
      if (found.some(({ resolvedPath }) => resolvedPath === next.resolvedPath)) continue;
      found.push(next);
      waiting.push(next);
    }
  }
  return found;
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
