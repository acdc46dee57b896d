import { randomUUID } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { HarnessError } from "@serverless-harness/kit/errors";
import { locate } from "@serverless-harness/kit/paths/locate";
import { errnoOf } from "@serverless-harness/kit/paths/path-error";
import { type BytePath, shownName } from "../fs/byte-names.ts";
import { LeftOutList, type LeftOuts } from "../fs/left-out.ts";
import { removeTree } from "../fs/remove-tree.ts";
import { commonDirOf, type ExistingLocation, type Find, gitDirOf, isThere, readPointer } from "./git-dir.ts";
import { GitFailure } from "./git-failure.ts";
import type { ObjectStore } from "./object-store.ts";
import type { TreeChange } from "./tree-entries.ts";
import { TreeWriter, writeEntries } from "./tree-writer.ts";

interface Draft {
  readonly tree: string;
  /** Submodules below which something was changed. */
  readonly leftOut: LeftOuts;
}

interface DraftOptions {
  readonly store: ObjectStore;
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
 * The tree that a commit of everything in a workspace would have. What is as it was checked out is what the commit
 * has; what was changed is converted back as the attributes ask for (ends of lines, `ident`, encodings), as `git add`
 * does: git does it, in a directory of the daemon's own, where no filter is configured. Below a submodule nothing is
 * taken; the submodule itself is at the commit that its own repository says.
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
    // Some file can't be converted, as one that is not in the encoding that its attributes name: its bytes are what a
    // checkout gives back then.
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

/** What a workspace has in the place of a submodule: its commit; nothing that says one, as when it was never fetched; or no directory. */
type SubmoduleState = { readonly commit: string } | "unknown" | "gone";

const COMMIT = /^[0-9a-f]{40}$/;
/** Names of refs that lead nowhere but down. */
const REF = /^ref: (refs\/(?:(?!\.)[^/\0\n]+\/?)+)$/;

/**
 * Look at a submodule of a workspace while commands may change it. It is read by handles, and never by git: what a
 * repository in a workspace configures could have git run something.
 */
async function submoduleState(workspace: string, path: BytePath): Promise<SubmoduleState> {
  using opened = new DisposableStack();
  const find: Find = (from) => {
    const location = opened.use(locate([{ path: workspace }], from, { follow: true }));
    if (location.entry === undefined) throw Object.assign(new Error(`${from} is missing`), { code: "ENOENT" });
    return location as ExistingLocation;
  };
  try {
    using top = locate([{ path: workspace }], shownName(path), { follow: false });
    if (top.entry?.stat().isDirectory() !== true) return "gone";
    const place = find(top.resolvedPath);
    if (!isThere(place, ".git")) return "unknown";
    const gitDir = await gitDirOf(find, place.resolvedPath);
    const commit = await headOf(find, gitDir);
    return commit === undefined ? "unknown" : { commit };
  } catch (error) {
    // A repository that can't be read says nothing about its commit.
    if (error instanceof HarnessError || errnoOf(error) !== undefined) return "unknown";
    throw error;
  }
}

async function headOf(find: Find, gitDir: ExistingLocation): Promise<string | undefined> {
  const head = await readPointer(find(`${gitDir.resolvedPath}/HEAD`));
  if (COMMIT.test(head)) return head;
  const name = REF.exec(head)?.[1];
  if (name === undefined) return undefined;
  const { resolvedPath } = await commonDirOf(find, gitDir);
  const read = async (path: string): Promise<string> => readPointer(find(`${resolvedPath}/${path}`));
  const loose = await read(name).catch(() => undefined);
  if (loose !== undefined) return COMMIT.test(loose) ? loose : undefined;
  const packed = await read("packed-refs");
  const line = packed.split("\n").find((each) => each.slice(41) === name);
  return line?.slice(0, 40);
}
