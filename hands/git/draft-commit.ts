import { randomUUID } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { type BytePath, shownName } from "../fs/byte-names.ts";
import { LeftOutList, type LeftOuts } from "../fs/left-out.ts";
import { removeTree } from "../fs/remove-tree.ts";
import { GitFailure } from "./git-failure.ts";
import type { ObjectStore } from "./object-store.ts";
import { submoduleState } from "./submodule-head.ts";
import type { TreeChange } from "./tree-entries.ts";
import { TreeWriter, writeEntries } from "./tree-writer.ts";

/** What a commit of a workspace would hold. */
export interface Draft {
  readonly tree: string;
  /** Submodules below which something was changed. */
  readonly leftOut: LeftOuts;
}

/** What a draft is made of. */
export interface DraftOptions {
  readonly store: ObjectStore;
  /** The workspace's directory. */
  readonly workspace: string;
  readonly baseCommit: string;
  /** What the commit was when it was checked out, byte for byte, and what is there now. Both are in the store. */
  readonly checkedOut: string;
  readonly current: string;
  readonly signal: AbortSignal;
}

const ATTRIBUTES = ".gitattributes";
const NOTHING = "0".repeat(40);

/** A workspace is no Windows machine: names that could stand for others there are names here. */
const SETTINGS = ["core.fileMode=true", "core.symlinks=true", "core.protectNTFS=false", "core.protectHFS=false"];

/**
 * The tree that a commit of everything in a workspace would have. What is as it was checked out is what the commit has; what was changed is converted back as
 * the attributes ask for (ends of lines, `ident`, encodings), as `git add` does: git does it, in a directory of the daemon's own, where no filter is
 * configured. Below a submodule nothing is taken; the submodule itself is at the commit that its own repository says.
 */
export async function draftCommit(options: DraftOptions): Promise<Draft> {
  const { store, workspace, baseCommit, checkedOut, current, signal } = options;
  const links = await store.gitlinks(baseCommit);
  const entered = new Set<BytePath>();
  const changes = (await store.changes(checkedOut, current)).filter(({ path }) => {
    const link = linkAbove(links, path);
    if (link !== undefined) entered.add(link);
    return link === undefined;
  });
  const scratch = join(store.gitDir, `scratch-${randomUUID()}`);
  await mkdir(join(scratch, "tree"), { recursive: true });
  try {
    const index = new Index(store, scratch, signal);
    await index.readTree(baseCommit);
    await index.set([...changes.filter(({ after }) => after === undefined), ...(await movedLinks(links, workspace))]);
    if (await store.holds(current, ATTRIBUTES)) await index.convert(changes);
    else await index.set(changes.filter(({ after }) => after !== undefined));
    const leftOut = new LeftOutList();
    for (const path of [...entered].sort())
      leftOut.add(shownName(path), "is a submodule: what was changed below it is in no commit of this repository");
    return { tree: await index.write(), leftOut };
  } finally {
    await removeTree(scratch);
  }
}

/** The submodule that a path lies below. */
function linkAbove(links: ReadonlyMap<BytePath, string>, path: BytePath): BytePath | undefined {
  if (links.size === 0) return undefined;
  for (let end = path.lastIndexOf("/"); end !== -1; end = path.lastIndexOf("/", end - 1)) {
    const above = path.slice(0, end);
    if (links.has(above)) return above;
  }
  return undefined;
}

/** An entry of an index: a file, a link, a submodule, or the absence of any. */
interface IndexChange {
  readonly path: BytePath;
  readonly after: { readonly mode: string; readonly oid: string } | undefined;
}

async function movedLinks(links: ReadonlyMap<BytePath, string>, workspace: string): Promise<IndexChange[]> {
  const moved: IndexChange[] = [];
  for (const [path, commit] of links) {
    const state = await submoduleState(workspace, path);
    if (state === "gone") moved.push({ path, after: undefined });
    else if (state !== "unknown" && state.commit !== commit) moved.push({ path, after: { mode: "160000", oid: state.commit } });
  }
  return moved;
}

/** An index of git's, with what it is made from, in a directory of the daemon's own. */
class Index {
  readonly #store: ObjectStore;
  readonly #scratch: string;
  readonly #signal: AbortSignal;

  constructor(store: ObjectStore, scratch: string, signal: AbortSignal) {
    this.#store = store;
    this.#scratch = scratch;
    this.#signal = signal;
  }

  async readTree(treeish: string): Promise<void> {
    await this.#run(["read-tree", treeish]);
  }

  /** Set entries to what they are given as. */
  async set(changes: readonly IndexChange[]): Promise<void> {
    if (changes.length === 0) return;
    const lines = changes.map(({ path, after }) => `${after?.mode ?? "0"} ${after?.oid ?? NOTHING}\t${path}\0`);
    await this.#run(["update-index", "--add", "--replace", "-z", "--index-info"], lines.join(""));
  }

  /** Set entries to what git makes of the files, by the attributes that hold. */
  async convert(changes: readonly TreeChange[]): Promise<void> {
    const written = changes.filter(({ after }) => after !== undefined);
    if (written.length === 0) return;
    {
      await using writer = await TreeWriter.open(join(this.#scratch, "tree"), join(this.#scratch, "staging"));
      await writeEntries(this.#store, writer, written, this.#signal);
    }
    if (await this.#add(written)) return;
    // Some file can't be converted, as one that is not in the encoding that its attributes name: its bytes are what a checkout gives back then.
    for (const change of written) if (!(await this.#add([change]))) await this.set([change]);
  }

  async write(): Promise<string> {
    return (await this.#run(["write-tree"])).toString("latin1").trim();
  }

  /** Add files; false if git refuses one of them. */
  async #add(changes: readonly TreeChange[]): Promise<boolean> {
    try {
      await this.#run(["update-index", "--add", "--replace", "-z", "--stdin"], changes.map(({ path }) => `${path}\0`).join(""));
      return true;
    } catch (error) {
      if (error instanceof GitFailure && error.end.kind === "exit") return false;
      throw error;
    }
  }

  #run(args: readonly [string, ...string[]], input = ""): Promise<Buffer> {
    return this.#store.run(args, {
      workTree: join(this.#scratch, "tree"),
      indexFile: join(this.#scratch, "index"),
      settings: SETTINGS,
      input: Buffer.from(input, "latin1"),
      signal: this.#signal,
      timeoutMs: 5 * 60_000,
    });
  }
}
