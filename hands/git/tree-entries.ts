import { Code } from "@connectrpc/connect";
import { HarnessError } from "@serverless-harness/kit/errors";
import { type BytePath, isRepository, shownName } from "../fs/byte-names.ts";
import { Pacer } from "../fs/pacer.ts";

/** A regular file, one that its owner may execute, a symbolic link. Nothing else is in a tree of ours. */
export type EntryMode = "100644" | "100755" | "120000";

export interface TreeEntry {
  readonly mode: EntryMode;
  /** Git's id of the content (of a link: of its target). */
  readonly oid: string;
}

/** A whole tree, flat. */
export type TreeEntries<E extends TreeEntry = TreeEntry> = ReadonlyMap<BytePath, E>;

/** The tree without any entry, which git knows without being told. */
export const EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";

export interface TreeChange {
  readonly path: BytePath;
  readonly before: TreeEntry | undefined;
  readonly after: TreeEntry | undefined;
}

/** What has to change to make `after` of `before`, in no order. */
export async function compareTrees(before: TreeEntries, after: TreeEntries): Promise<TreeChange[]> {
  const pacer = new Pacer();
  const changes: TreeChange[] = [];
  for (const [path, old] of before) {
    const now = after.get(path);
    if (now === old) continue;
    if (now === undefined || now.oid !== old.oid || now.mode !== old.mode) changes.push({ path, before: old, after: now });
    if (pacer.due) await pacer.rest();
  }
  for (const [path, now] of after) {
    if (!before.has(path)) changes.push({ path, before: undefined, after: now });
    if (pacer.due) await pacer.rest();
  }
  return changes;
}

export interface SizedEntry extends TreeEntry {
  readonly size: number;
}

const RECORD = /^(\d{6}) (\w+) ([0-9a-f]{40}) +(\d+|-)$/;

/**
 * Read what `git ls-tree -r -l -z` tells. Submodules are left out: they have no content here. DATA_LOSS `corrupt_snapshot` for entries that
 * no tree may have: their names could lead out of a workspace, or into the repository of its own.
 */
export async function parseTree(listing: Buffer): Promise<Map<BytePath, SizedEntry>> {
  const pacer = new Pacer();
  const entries = new Map<BytePath, SizedEntry>();
  for (let from = 0; from < listing.length; ) {
    const tab = listing.indexOf("\t", from);
    const end = listing.indexOf(0, tab);
    const path = listing.toString("latin1", tab + 1, end);
    const [, stored, type, oid, size] = RECORD.exec(listing.toString("latin1", from, tab)) ?? [];
    from = end + 1;
    if (pacer.due) await pacer.rest();
    if (type === "commit") continue;
    const mode = entryModeOf(stored);
    if (oid === undefined || mode === undefined || !isSafePath(path)) {
      const message = `the snapshot holds ${JSON.stringify(shownName(path))}, which no tree may hold`;
      throw new HarnessError(Code.DataLoss, "corrupt_snapshot", message);
    }
    entries.set(path, { mode, oid, size: Number(size) });
  }
  return entries;
}

/** Repositories of old have further permissions in their modes, of which git takes only this bit. */
function entryModeOf(mode: string | undefined): EntryMode | undefined {
  if (mode === "120000") return mode;
  if (mode?.startsWith("100") !== true) return undefined;
  return (Number.parseInt(mode, 8) & 0o100) === 0 ? "100644" : "100755";
}

/** Every name leads one step down, and none to a repository. */
export function isSafePath(path: BytePath): boolean {
  return path.split("/").every((name) => name !== "" && name !== "." && name !== ".." && !isRepository(name));
}
