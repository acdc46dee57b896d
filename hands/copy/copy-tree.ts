import { type BigIntStats, closeSync, constants, openSync, readFileSync, readlinkSync, symlinkSync, writeFileSync } from "node:fs";
import { chmod, copyFile, mkdir, utimes } from "node:fs/promises";
import { type Handle, openDirectory } from "@serverless-harness/kit/paths/handle";
import { errnoOf, translateError } from "@serverless-harness/kit/paths/path-error";
import { openRoot } from "@serverless-harness/kit/paths/root";
import {
  aboutEntry,
  type ByteName,
  type BytePath,
  childPath,
  isRepository,
  namesIn,
  openChild,
  openChildDirectory,
  shownName,
  statChild,
} from "../fs/byte-names.ts";
import { LeftOutList, type LeftOuts } from "../fs/left-out.ts";
import { Pacer } from "../fs/pacer.ts";
import { TreeMeter } from "../fs/tree-limits.ts";
import { Relink } from "./relink.ts";

/** What a copy may hold: more than a snapshot, since what git ignores is copied too. */
const LIMITS = { files: 2_000_000, depth: 256, fileBytes: Number.MAX_SAFE_INTEGER, treeBytes: Number.MAX_SAFE_INTEGER };

/** Files of git's that hold paths are no longer. */
const MAX_PATHS_BYTES = 1024n * 1024n;

/** What is copied, and to which directory. */
export interface CopyOrder {
  /** A workspace's directory. */
  readonly source: string;
  /** Where the copy is made; out of the reach of commands, and missing. */
  readonly target: string;
  /** Where the copy will be, as commands see it. */
  readonly path: string;
}

/**
 * Copy a workspace whose content commands may change meanwhile: it is walked by handles, so nothing that is swapped in leads outside. Names are
 * bytes. Files (their blocks shared if the file system can), directories and symbolic links, with modes and times; links and paths of git's that
 * lead into the original lead into the copy (see {@link Relink}). What vanishes meanwhile is not there; what else is left out is returned.
 *
 * RESOURCE_EXHAUSTED `tree_too_large` before anything is written. PERMISSION_DENIED `permission_denied` and the like name the entry.
 */
export async function copyTree({ source, target, path }: CopyOrder): Promise<LeftOuts> {
  using root = openRoot(source);
  const copy = new Copy(new Relink(source, path));
  await copy.measure(root, "", 0);
  await mkdir(target, { mode: 0o700 });
  using to = openDirectory(target);
  await copy.directory(root, { path: "", inRepository: false }, to);
  return copy.leftOut;
}

/** A directory that is copied. */
interface WalkedDirectory {
  /** Below the workspace, without a slash at the end; empty for the workspace itself. */
  readonly path: BytePath;
  /** It is a repository's own directory, or in one. */
  readonly inRepository: boolean;
}

class Copy {
  readonly leftOut = new LeftOutList();
  readonly #relink: Relink;
  readonly #meter = new TreeMeter(LIMITS);
  readonly #pacer = new Pacer();

  constructor(relink: Relink) {
    this.#relink = relink;
  }

  /** Throw if there is more than a copy may hold. */
  async measure(directory: Handle, path: BytePath, depth: number): Promise<void> {
    this.#meter.enter(shownName(path), depth);
    for (const name of aboutEntry(path, () => [...namesIn(directory)])) {
      if (this.#pacer.due) await this.#pacer.rest();
      const below = join(path, name);
      this.#meter.add(shownName(below), 0);
      if (aboutEntry(below, () => statChild(directory, name))?.isDirectory() !== true) continue;
      using child = aboutEntry(below, () => openChildDirectory(directory, name));
      if (child !== undefined) await this.measure(child, below, depth + 1);
    }
  }

  /**
   * Copy what is in a directory, and its permissions and times. Both are held by handles: the depth of paths is
   * bounded, their length is not.
   */
  async directory(from: Handle, place: WalkedDirectory, to: Handle): Promise<void> {
    const stat = from.stat();
    const names = aboutEntry(place.path, () => [...namesIn(from)]);
    const inRepository = place.inRepository || isBare(names);
    for (const name of names) {
      await this.#entry(from, name, { ...place, inRepository }, to).catch((error: unknown) => {
        throw translateError(error, shownName(join(place.path, name)));
      });
    }
    await setAttributes(to.path, stat);
  }

  async #entry(directory: Handle, name: ByteName, place: WalkedDirectory, to: Handle): Promise<void> {
    const path = join(place.path, name);
    using entry = openChild(directory, name);
    if (entry === undefined) return;
    const stat = entry.stat();
    if (stat.isDirectory()) await this.#below(directory, name, { path, inRepository: place.inRepository || isRepository(name) }, to);
    else if (stat.isSymbolicLink()) this.#link(directory, name, place, to);
    else if (stat.isFile()) await this.#file(entry, name, place, childPath(to, name), stat);
    else this.leftOut.add(shownName(path), `is ${kindOf(stat)}`);
  }

  async #below(directory: Handle, name: ByteName, place: WalkedDirectory, to: Handle): Promise<void> {
    using child = openChildDirectory(directory, name);
    if (child === undefined) return;
    if (place.inRepository && place.path.endsWith(`/worktrees/${name}`) && this.#isElsewhere(child)) {
      this.leftOut.add(shownName(place.path), "belongs to a worktree outside of the workspace");
      return;
    }
    await mkdir(childPath(to, name), { mode: 0o700 });
    using made = openChildDirectory(to, name);
    if (made === undefined) throw new Error("a directory that was just made is gone");
    await this.directory(child, place, made);
  }

  /** What git notes of a worktree that is not in the workspace: a command in the copy would change it. */
  #isElsewhere(registration: Handle): boolean {
    using file = openChild(registration, "gitdir");
    const stat = file?.stat();
    if (file === undefined || stat?.isFile() !== true || stat.size > MAX_PATHS_BYTES) return false;
    return this.#relink.leadsOut(readWhole(file).trim());
  }

  #link(directory: Handle, name: ByteName, place: WalkedDirectory, to: Handle): void {
    let target: string;
    try {
      target = readlinkSync(childPath(directory, name), "latin1");
    } catch (error) {
      // It was replaced, or removed, since it was looked at.
      if (errnoOf(error) === "EINVAL" || errnoOf(error) === "ENOENT") return;
      throw error;
    }
    symlinkSync(Buffer.from(this.#relink.path(place.path, target), "latin1"), childPath(to, name));
  }

  async #file(entry: Handle, name: ByteName, place: WalkedDirectory, to: Buffer, stat: BigIntStats): Promise<void> {
    if (stat.size <= MAX_PATHS_BYTES && this.#relink.concerns(name, place.inRepository)) {
      const content = this.#relink.content(place.path, name, readWhole(entry));
      writeFileSync(to, content, { encoding: "latin1", flag: "wx", mode: 0o600 });
    } else {
      await copyFile(entry.path, to, constants.COPYFILE_FICLONE);
    }
    await setAttributes(to, stat);
  }
}

/** A repository without a working tree, as git tells one. */
function isBare(names: readonly ByteName[]): boolean {
  return ["HEAD", "objects", "refs"].every((name) => names.includes(name));
}

function kindOf(stat: BigIntStats): string {
  if (stat.isSocket()) return "a socket";
  return stat.isFIFO() ? "a FIFO" : "a device";
}

/** Through the handle, so that it is this very file. */
function readWhole(file: Handle): string {
  const fd = openSync(file.path, constants.O_RDONLY);
  try {
    return readFileSync(fd, "latin1");
  } finally {
    closeSync(fd);
  }
}

/** Give a copy its original's permissions and times. */
async function setAttributes(path: string | Buffer, stat: BigIntStats): Promise<void> {
  await chmod(path, Number(stat.mode & 0o7777n));
  await utimes(path, Number(stat.atimeMs) / 1000, Number(stat.mtimeMs) / 1000);
}

function join(path: BytePath, name: ByteName): BytePath {
  return path === "" ? name : `${path}/${name}`;
}
