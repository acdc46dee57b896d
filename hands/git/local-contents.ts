import { opendirSync } from "node:fs";
import { invalidArgument } from "@serverless-harness/kit/errors";
import type { Handle } from "@serverless-harness/kit/paths/handle";
import type { Location } from "@serverless-harness/kit/paths/locate";
import { type BytePath, openChildDirectory, shownName, statChild } from "../fs/byte-names.ts";
import { Pacer } from "../fs/pacer.ts";

/** What git reads of its directory in order to give a repository away. */
const FILES = ["HEAD", "config", "config.worktree", "commondir", "packed-refs", "shallow"];
const TREES = ["objects", "refs"];

/** Files, directories and links of one repository that are looked at: more are not checked in a time that anybody would wait. */
const MAX_ENTRIES = 1_000_000;
const MAX_DEPTH = 64;

type Directory = Pick<Location, "resolvedPath"> & { readonly entry: Handle };

/**
 * Looks at everything that git reads of a local repository: each symbolic link has to lead to where `locate` allows,
 * which throws if it does not, and nothing may be there that git would wait for.
 */
export class LocalContents {
  readonly #locate: (path: string) => Location;
  readonly #pacer: Pacer;
  readonly #seen = new Set<string>();
  #entries = 0;

  constructor(locateAllowed: (path: string) => Location, signal: AbortSignal | undefined) {
    this.#locate = locateAllowed;
    this.#pacer = new Pacer(signal);
  }

  /** Look at a directory of git's own. */
  async checkRepository(directory: Directory): Promise<void> {
    for (const name of [...FILES, ...TREES]) await this.#check(directory.entry, name, directory.resolvedPath, 0);
  }

  async checkTree({ entry, resolvedPath }: Directory, depth = 0): Promise<void> {
    if (this.#seen.has(resolvedPath)) return;
    this.#seen.add(resolvedPath);
    if (depth > MAX_DEPTH) throw refused(`has directories of git's own more than ${MAX_DEPTH} deep`);
    const listing = opendirSync(entry.path, { encoding: "latin1", bufferSize: 256 });
    try {
      for (let next = listing.readSync(); next !== null; next = listing.readSync()) {
        if (this.#pacer.due) await this.#pacer.rest();
        await this.#check(entry, next.name, resolvedPath, depth);
      }
    } finally {
      listing.closeSync();
    }
  }

  async #check(directory: Handle, name: BytePath, above: string, depth: number): Promise<void> {
    this.#entries += 1;
    if (this.#entries > MAX_ENTRIES) throw refused(`has over ${MAX_ENTRIES} files of git's own: repack it`);
    const stat = statChild(directory, name);
    if (stat === undefined || stat.isFile()) return;
    const path = `${above}/${shownName(name)}`;
    if (stat.isSymbolicLink()) await this.#follow(path, depth);
    else if (!stat.isDirectory()) throw refused("has, among git's own files, one that is no file");
    else {
      using child = openChildDirectory(directory, name);
      if (child !== undefined) await this.checkTree({ entry: child, resolvedPath: path }, depth + 1);
    }
  }

  async #follow(path: string, depth: number): Promise<void> {
    using target = this.#locate(path);
    const { entry, resolvedPath } = target;
    if (entry === undefined) return;
    if (entry.stat().isDirectory()) await this.checkTree({ entry, resolvedPath }, depth + 1);
    else if (!entry.stat().isFile()) throw refused("has, among git's own files, one that is no file");
  }
}

function refused(problem: string): Error {
  return invalidArgument([{ field: "url", description: `names a repository that ${problem}` }]);
}
