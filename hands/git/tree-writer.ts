import {
  chmodSync,
  closeSync,
  fchmodSync,
  lchownSync,
  mkdirSync,
  openSync,
  renameSync,
  rmdirSync,
  symlinkSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { type Handle, openDirectory } from "@serverless-harness/kit/paths/handle";
import { errnoOf, translateError } from "@serverless-harness/kit/paths/path-error";
import { type BytePath, childPath, openChild, openChildDirectory, shownName, statChild } from "../fs/byte-names.ts";
import { Pacer } from "../fs/pacer.ts";
import { removeTree } from "../fs/remove-tree.ts";
import { ownershipIn } from "../fs/staged-file.ts";
import { type OutgoingBlob, readBlobs, wholeOf } from "./blob-reader.ts";
import type { ObjectStore } from "./object-store.ts";
import type { EntryMode, TreeChange } from "./tree-entries.ts";

/** A command changed the place that was being written to. */
export class ConcurrentChange extends Error {
  override readonly name = "ConcurrentChange";
}

/** System errors that only say that a place has changed since it was looked at. */
const STALE_ERRORS: ReadonlySet<string | undefined> = new Set(["ENOENT", "EEXIST", "ENOTEMPTY", "ENOTDIR", "EISDIR", "ELOOP"]);

/**
 * Writes and removes entries of a workspace's tree, each by one rename or unlink, while commands may change the tree:
 * it goes down by handles and never through a symbolic link, so nothing outside is touched, whatever is swapped in.
 * Whatever stands in an entry's way goes, a directory with ignored files included. {@link ConcurrentChange} if
 * a command changed something meanwhile. Dispose it.
 */
export class TreeWriter implements AsyncDisposable {
  readonly #staging: string;
  readonly #root: Handle;
  /** The directories below the root on the way to the last entry. */
  readonly #way: { readonly name: BytePath; readonly handle: Handle }[] = [];
  #staged = 0;

  private constructor(root: Handle, staging: string) {
    this.#staging = staging;
    this.#root = root;
  }

  /** `staging`: a directory on the tree's file system, out of the reach of commands, which is made again, and removed at the end. */
  static async open(root: string, staging: string): Promise<TreeWriter> {
    await removeTree(staging);
    await mkdir(staging, { recursive: true, mode: 0o700 });
    return new TreeWriter(openDirectory(root), staging);
  }

  /** Remove a file or link, and the directories that are empty then. A no-op if nothing is, or a directory. */
  remove(path: BytePath): void {
    const { directories, name } = split(path);
    const parent = this.#enter(directories);
    if (parent === undefined || statChild(parent, name)?.isDirectory() !== false) return;
    noticing(() => unlinkSync(childPath(parent, name)));
    this.#removeEmpty();
  }

  /** Write a file or link, with the directories above it. */
  async write(path: BytePath, mode: EntryMode, blob: OutgoingBlob): Promise<void> {
    const { directories, name } = split(path);
    const parent = this.#make(directories);
    const staged = this.#stagedPath();
    if (mode === "120000") symlinkSync(await wholeOf(blob), staged);
    else await writeFile(staged, mode === "100755" ? 0o755 : 0o644, blob);
    this.#place(staged, parent, name, false);
  }

  /** Make a directory, with those above it. What else has its name goes. */
  makeDirectory(path: BytePath): void {
    this.#make(path.split("/"));
  }

  /** Remove a directory that is empty, and those above that are empty then. A no-op if it is not, or gone. */
  removeDirectory(path: BytePath): void {
    const { directories, name } = split(path);
    const parent = this.#enter(directories);
    if (parent === undefined) return;
    try {
      rmdirSync(childPath(parent, name));
    } catch (error) {
      if (STALE_ERRORS.has(errnoOf(error))) return;
      throw error;
    }
    this.#removeEmpty();
  }

  /** Give a file or directory permissions. A no-op for anything else, and if nothing is. */
  setMode(path: BytePath, mode: number): void {
    const { directories, name } = split(path);
    const parent = this.#enter(directories);
    using entry = parent === undefined ? undefined : openChild(parent, name);
    const stat = entry?.stat();
    if (entry !== undefined && (stat?.isFile() === true || stat?.isDirectory() === true)) chmodSync(entry.path, mode);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#backTo([]);
    this.#root[Symbol.dispose]();
    await removeTree(this.#staging);
  }

  /** The directory at the end of the way down; `undefined` if the way ends before. */
  #enter(names: readonly BytePath[]): Handle | undefined {
    this.#backTo(names);
    for (const name of names.slice(this.#way.length)) {
      const handle = openChildDirectory(this.#here, name);
      if (handle === undefined) return undefined;
      this.#way.push({ name, handle });
    }
    return this.#here;
  }

  /** The directory at the end of the way down, made if it is missing. */
  #make(names: readonly BytePath[]): Handle {
    this.#backTo(names);
    for (const name of names.slice(this.#way.length)) {
      const handle = openChildDirectory(this.#here, name) ?? this.#makeDirectory(this.#here, name);
      this.#way.push({ name, handle });
    }
    return this.#here;
  }

  #makeDirectory(parent: Handle, name: BytePath): Handle {
    const staged = this.#stagedPath();
    mkdirSync(staged);
    chmodSync(staged, 0o755);
    this.#place(staged, parent, name, true);
    const handle = openChildDirectory(parent, name);
    if (handle === undefined) throw new ConcurrentChange();
    return handle;
  }

  /** Put what was staged at a name, in the place of whatever is there. */
  #place(staged: string, parent: Handle, name: BytePath, isDirectory: boolean): void {
    const { uid, gid } = ownershipIn(parent);
    // What is new is the daemon's.
    if (uid !== process.geteuid?.() || gid !== process.getegid?.()) lchownSync(staged, uid, gid);
    const target = childPath(parent, name);
    noticing(() => {
      const there = statChild(parent, name);
      // A rename replaces a file by a file, but nothing by a directory, nor a directory that is not empty.
      if (there !== undefined && (isDirectory || there.isDirectory())) renameSync(target, this.#stagedPath());
      renameSync(staged, target);
    });
  }

  #removeEmpty(): void {
    for (let last = this.#way.pop(); last !== undefined; last = this.#way.pop()) {
      last.handle[Symbol.dispose]();
      try {
        rmdirSync(childPath(this.#here, last.name));
      } catch (error) {
        if (STALE_ERRORS.has(errnoOf(error))) return;
        throw error;
      }
    }
  }

  /** Go back up to the last directory that is also on the way to `names`. */
  #backTo(names: readonly BytePath[]): void {
    const shared = this.#way.findIndex(({ name }, index) => names[index] !== name);
    for (const { handle } of shared === -1 ? [] : this.#way.splice(shared)) handle[Symbol.dispose]();
  }

  get #here(): Handle {
    return this.#way.at(-1)?.handle ?? this.#root;
  }

  #stagedPath(): string {
    this.#staged += 1;
    return join(this.#staging, String(this.#staged));
  }
}

function split(path: BytePath): { directories: BytePath[]; name: BytePath } {
  const directories = path.split("/");
  const name = directories.pop() ?? "";
  return { directories, name };
}

function noticing(call: () => void): void {
  try {
    call();
  } catch (error) {
    throw STALE_ERRORS.has(errnoOf(error)) ? new ConcurrentChange() : error;
  }
}

async function writeFile(path: string, mode: number, { content }: OutgoingBlob): Promise<void> {
  const fd = openSync(path, "wx", mode);
  try {
    if (Buffer.isBuffer(content)) writeAll(fd, content);
    else for await (const piece of content) writeAll(fd, piece);
    // Whatever the daemon's umask is.
    fchmodSync(fd, mode);
  } finally {
    closeSync(fd);
  }
}

function writeAll(fd: number, bytes: Buffer): void {
  for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
}

/** Write, in the order given, what is there after each change, out of a store. Errors name the path. */
export async function writeEntries(
  store: ObjectStore,
  writer: TreeWriter,
  changes: readonly TreeChange[],
  signal: AbortSignal,
): Promise<void> {
  const pacer = new Pacer(signal);
  const writes = changes.flatMap(({ path, after }) => (after === undefined ? [] : [{ path, after }]));
  const oids = writes.map(({ after }) => after.oid);
  let index = 0;
  for await (const blob of readBlobs(store.git, store.gitDir, oids, signal)) {
    const next = writes[index++];
    if (next === undefined) return;
    try {
      await writer.write(next.path, next.after.mode, blob);
    } catch (error) {
      throw translateError(error, shownName(next.path));
    }
    if (pacer.due) await pacer.rest();
  }
}
