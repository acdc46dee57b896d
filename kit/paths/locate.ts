import { readlinkSync } from "node:fs";
import { type Handle, inodeKey, openInode } from "./handle.ts";
import { errnoOf, pathError } from "./path-error.ts";
import { openRoot } from "./root.ts";
import { shownBytes, shownPath } from "./shown-name.ts";

/** A directory that paths may lie in. */
export interface Root {
  /** Absolute, as commands see it. */
  readonly path: string;
  /** Where it is for this process. Default: at `path`. */
  readonly at?: string;
  /** Directories that no path may lead into, by {@link inodeKey}. Default: none. */
  readonly closed?: ReadonlySet<string>;
}

/** How to locate a path. */
export interface LocateOptions {
  /** Follow a symlink at the end of the path; those before it always are. */
  readonly follow: boolean;
}

/** As many as Linux follows in one path. */
const MAX_SYMLINKS = 40;

/**
 * Where a path leads, held by handles: what a command renames or replaces by symlinks from here on doesn't change what they stand for.
 * Use `parent` with `name`, never the texts. Dispose it.
 */
export class Location implements Disposable {
  /** Absolute path as a command sees it, not resolved through symlinks. */
  readonly path: string;
  /** The same, resolved through symlinks. */
  readonly resolvedPath: string;
  /** The directory that holds the entry; `undefined` for a root itself. */
  readonly parent: Handle | undefined;
  /** The entry's name in `parent`: of the first one that is missing, if `missing` is not empty. */
  readonly name: string;
  /** What is there; `undefined` if nothing is. */
  readonly entry: Handle | undefined;
  /** Names from the first missing one to the last; empty if the path exists. */
  readonly missing: readonly string[];

  constructor(fields: Pick<Location, "path" | "resolvedPath" | "parent" | "name" | "entry" | "missing">) {
    this.path = fields.path;
    this.resolvedPath = fields.resolvedPath;
    this.parent = fields.parent;
    this.name = fields.name;
    this.entry = fields.entry;
    this.missing = fields.missing;
  }

  [Symbol.dispose](): void {
    this.parent?.[Symbol.dispose]();
    this.entry?.[Symbol.dispose]();
  }
}

/**
 * Find where `path` (as it is shown, see `shown-name.ts`; relative to the first root, or absolute and below any of them)
 * leads. PERMISSION_DENIED `path_outside` if it leaves the roots by `..` or by a symlink; what is missing is told by {@link Location.missing}; other errors as the system calls throw them.
 *
 * The calls are synchronous on purpose: each takes microseconds, and none can block (see {@link openInode}).
 */
export function locate(roots: readonly [Root, ...Root[]], path: string, options: LocateOptions): Location {
  using walk = new Walk(roots, path);
  walk.follow(path, options.follow);
  return walk.end();
}

/** {@link locate} for what has to exist: NOT_FOUND `not_found` if it does not. */
export function locateExisting(
  roots: readonly [Root, ...Root[]],
  path: string,
  options: LocateOptions,
): Location & { readonly entry: Handle } {
  const location = locate(roots, path, options);
  if (location.entry !== undefined) return location as Location & { readonly entry: Handle };
  location[Symbol.dispose]();
  throw pathError("not_found", path);
}

/**
 * Walks a path name by name. Each directory on the way is opened by its name in the one before, without following symlinks, so a name can
 * only lead down; symlinks are read and walked the same way; `..` goes back to the handle we came from, never to what the kernel calls the
 * parent by then. Nothing that happens in the file system meanwhile can lead the walk out of its root.
 */
class Walk implements Disposable {
  root: Root;
  readonly #roots: readonly [Root, ...Root[]];
  readonly #request: string;
  /** The root and every directory below it on the way. */
  #directories: Handle[] = [];
  /** Their names, followed by the last one's. */
  #names: string[] = [];
  /** The path as asked for; after a `..`, as resolved so far. */
  #shown: { root: Root; names: string[] };
  /** What is not a directory, at the end of the way. */
  #leaf: Handle | undefined;
  #missing: string[] = [];
  #symlinks = 0;

  constructor(roots: readonly [Root, ...Root[]], request: string) {
    this.#roots = roots;
    this.#request = request;
    this.root = roots[0];
    this.#shown = { root: this.root, names: [] };
  }

  /** Walk the path that was asked for. */
  follow(path: string, followLast: boolean): void {
    const names = this.#enter(path);
    this.#shown.root = this.root;
    for (const [index, name] of names.entries()) {
      this.#step(name, followLast || index < names.length - 1);
      if (name === "..") this.#shown = { root: this.root, names: [...this.#names] };
      else this.#shown.names.push(name);
    }
  }

  /** What the walk found. Closes all handles but the location's. */
  end(): Location {
    const path = [this.#shown.root.path, ...this.#shown.names].join("/");
    const resolvedPath = [this.root.path, ...this.#names, ...this.#missing].join("/");
    if (this.#missing.length === 0 && this.#leaf === undefined) this.#leaf = this.#directories.pop();
    const entry = this.#leaf;
    this.#leaf = undefined;
    const name = this.#missing[0] ?? this.#names.at(-1) ?? "";
    return new Location({ path, resolvedPath, parent: this.#directories.pop(), name, entry, missing: this.#missing });
  }

  [Symbol.dispose](): void {
    this.#leaf?.[Symbol.dispose]();
    for (const directory of this.#directories) directory[Symbol.dispose]();
  }

  /** Go to the root that a path starts from, and return the names that are left. A relative one starts where the walk is. */
  #enter(path: string): string[] {
    const names = shownPath(path)
      .split("/")
      .filter((name) => name !== "" && name !== ".");
    if (!path.startsWith("/")) {
      if (this.#directories.length === 0) this.#restart(this.#roots[0]);
      return names;
    }
    for (const root of this.#roots) {
      const prefix = root.path.split("/").filter((name) => name !== "");
      if (prefix.some((name, index) => names[index] !== name)) continue;
      this.#restart(root);
      return names.slice(prefix.length);
    }
    throw pathError("path_outside", this.#request);
  }

  #restart(root: Root): void {
    this[Symbol.dispose]();
    this.root = root;
    this.#names = [];
    this.#directories = [];
    this.#directories.push(openRoot(root.at ?? root.path, root === this.#roots[0] ? "workspace_missing" : "not_found"));
  }

  #step(name: string, follow: boolean): void {
    if (this.#missing.length > 0) {
      if (name === "..") throw pathError("not_found", this.#request);
      this.#missing.push(name);
    } else if (this.#leaf !== undefined) {
      throw pathError("not_directory", this.#request);
    } else if (name === "..") {
      if (this.#directories.length === 1) throw pathError("path_outside", this.#request);
      this.#directories.pop()?.[Symbol.dispose]();
      this.#names.pop();
    } else {
      this.#descend(name, follow);
    }
  }

  #descend(name: string, follow: boolean): void {
    const directory = this.#directories.at(-1);
    if (directory === undefined) throw new Error("a walk that was not started");
    const child = openIfThere(directory.child(name));
    if (child === undefined) {
      this.#missing.push(name);
      return;
    }
    const stat = child.stat();
    if (stat.isSymbolicLink() && follow) {
      child[Symbol.dispose]();
      this.#throughSymlink(directory, name);
      return;
    }
    this.#names.push(name);
    if (stat.isDirectory()) this.#directories.push(child);
    else this.#leaf = child;
    if (this.root.closed?.has(inodeKey(stat))) throw pathError("path_outside", this.#request);
  }

  #throughSymlink(directory: Handle, name: string): void {
    this.#symlinks += 1;
    if (this.#symlinks > MAX_SYMLINKS) throw pathError("symlink_loop", this.#request);
    const target = readSymlink(directory.child(name));
    // It was replaced since it was opened: look again.
    if (target === undefined) this.#descend(name, true);
    else for (const next of this.#enter(target)) this.#step(next, true);
  }
}

function openIfThere(path: string | Buffer): Handle | undefined {
  try {
    return openInode(path);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
}

function readSymlink(path: string | Buffer): string | undefined {
  try {
    return shownBytes(readlinkSync(path, "buffer"));
  } catch (error) {
    if (errnoOf(error) === "EINVAL" || errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
}
