import { mkdir, readdir, realpath, rm } from "node:fs/promises";
import { join } from "node:path";
import type { BytePath } from "../fs/byte-names.ts";
import type { CollectedCall, Git } from "./git.ts";
import { GitFailure } from "./git-failure.ts";
import { killStrays } from "./stray-processes.ts";
import { type EntryMode, parseTree, type SizedEntry, type TreeChange, type TreeEntry } from "./tree-entries.ts";

/** More packs than these, and reading gets slow: they are made one. */
const MAX_PACKS = 16;

const LONG_MS = 30 * 60_000;

/**
 * A bare repository of the daemon's own that holds a workspace's trees. It is never the workspace's repository, and
 * no command reaches it.
 */
export class ObjectStore {
  readonly git: Git;
  readonly gitDir: string;

  private constructor(git: Git, gitDir: string) {
    this.git = git;
    this.gitDir = gitDir;
  }

  /** Open the repository in a directory, making both if they are missing. */
  static async open(git: Git, gitDir: string): Promise<ObjectStore> {
    await mkdir(gitDir, { recursive: true, mode: 0o700 });
    const names = await readdir(gitDir);
    // Made again, a repository stays as it is; what a crash left half made is completed.
    if (!names.includes("complete")) {
      await git.run(["init", "--quiet", "--bare", "--template=", "--initial-branch=main", gitDir], { gitDir: undefined, cwd: gitDir });
      await mkdir(join(gitDir, "complete"));
    }
    return new ObjectStore(git, gitDir);
  }

  /** Everything in a tree, or in a commit's. */
  async entries(treeish: string): Promise<Map<BytePath, SizedEntry>> {
    return parseTree(await this.run(["ls-tree", "-r", "-l", "-z", "--full-tree", treeish]));
  }

  /** The submodules in a commit's tree, each with its commit there. */
  async gitlinks(commit: string): Promise<Map<BytePath, string>> {
    const listing = (await this.run(["ls-tree", "-r", "-z", "--full-tree", commit])).toString("latin1");
    const links = new Map<BytePath, string>();
    for (const [, oid = "", path = ""] of listing.matchAll(/(?<=^|\0)160000 commit ([0-9a-f]{40})\t([^\0]+)/g)) links.set(path, oid);
    return links;
  }

  async changes(before: string, after: string): Promise<TreeChange[]> {
    const listing = (await this.run(["diff-tree", "-r", "-z", "--no-renames", before, after])).toString("latin1");
    const record = /:(\d{6}) (\d{6}) ([0-9a-f]{40}) ([0-9a-f]{40}) [A-Z]\0([^\0]+)/g;
    const entry = (mode = "", oid = ""): TreeEntry | undefined => (mode === "000000" ? undefined : { mode: mode as EntryMode, oid });
    return [...listing.matchAll(record)].map(([, oldMode, newMode, oldOid, newOid, path = ""]) => ({
      path,
      before: entry(oldMode, oldOid),
      after: entry(newMode, newOid),
    }));
  }

  /** Some file in a tree, at any depth, has this name. */
  async holds(tree: string, name: string): Promise<boolean> {
    const names = (await this.run(["ls-tree", "-r", "-z", "--name-only", "--full-tree", tree])).toString("latin1");
    return `\0${names}`.includes(`\0${name}\0`) || names.includes(`/${name}\0`);
  }

  /** The tree of a commit; `undefined` if the commit is not here. */
  treeOf(commit: string): Promise<string | undefined> {
    return this.#resolve(`${commit}^{tree}`);
  }

  /** What has a name in a tree; `undefined` if nothing has, or the tree is not here. */
  entryOf(tree: string, name: string): Promise<string | undefined> {
    return this.#resolve(`${tree}:${name}`);
  }

  async #resolve(expression: string): Promise<string | undefined> {
    try {
      return await this.git.text(["rev-parse", "--verify", "--quiet", expression], { gitDir: this.gitDir });
    } catch (error) {
      if (error instanceof GitFailure && error.end.kind === "exit") return undefined;
      throw error;
    }
  }

  /** Make a tree of trees, by their names in it. */
  async join(trees: Readonly<Record<string, string>>): Promise<string> {
    const lines = Object.entries(trees).map(([name, tree]) => `040000 tree ${tree}\t${name}\n`);
    return this.git.text(["mktree", "--missing"], { gitDir: this.gitDir, input: lines.join("") });
  }

  /** Make a commit of a tree. The same tree and parent make the same commit. */
  commit(tree: string, parent: string | undefined): Promise<string> {
    const parents = parent === undefined ? [] : ["-p", parent];
    return this.git.text(["commit-tree", ...parents, "-m", "snapshot", tree], { gitDir: this.gitDir });
  }

  /** Keep an object, and what it leads to, under a name. `undefined` lets go of what is kept under it. */
  async keep(name: string, object: string | undefined): Promise<void> {
    await this.run(["update-ref", ...(object === undefined ? ["-d", refOf(name)] : [refOf(name), object])]);
  }

  /** Remove what a daemon that was killed has left, its git processes first. For a store that nobody works with. */
  async sweep(): Promise<void> {
    await killStrays(await realpath(this.gitDir));
    for (const name of await readdir(this.gitDir)) {
      if (/^(?:scratch-|fast_import_crash_)|\.lock$/.test(name)) await rm(join(this.gitDir, name), { recursive: true, force: true });
    }
    for (const part of ["objects/pack", "refs/harness"]) {
      const directory = join(this.gitDir, part);
      for (const name of await readdir(directory).catch(() => [])) {
        if (/^tmp_|\.lock$/.test(name)) await rm(join(directory, name), { force: true });
      }
    }
  }

  /** Names of the packs that were taken over from a source, without an ending. */
  async keptPacks(): Promise<Set<string>> {
    const names = await readdir(join(this.gitDir, "objects", "pack")).catch(() => []);
    return new Set(names.filter((name) => name.endsWith(".keep")).map((name) => name.slice(0, -".keep".length)));
  }

  /** Tidy up after much has been written; what is not kept by name is dropped then. */
  async compact(): Promise<void> {
    const names = new Set(await readdir(join(this.gitDir, "objects", "pack")));
    const packs = [...names].filter((name) => name.endsWith(".pack") && !names.has(name.replace(/pack$/, "keep")));
    if (packs.length <= MAX_PACKS) return;
    // First the commits, which lie alone, so that none is ever there without what it leads to.
    await this.run(["prune", "--expire=now"], { timeoutMs: LONG_MS });
    await this.run(["repack", "-a", "-d", "-q"], { timeoutMs: LONG_MS });
  }

  run(args: readonly [string, ...string[]], call: Partial<CollectedCall> = {}): Promise<Buffer> {
    return this.git.run(args, { ...call, gitDir: this.gitDir });
  }
}

/** The ref of a name in {@link ObjectStore.keep}. */
export function refOf(name: string): string {
  return `refs/harness/${name}`;
}
