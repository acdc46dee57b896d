import { join } from "node:path";
import { pathError } from "@serverless-harness/kit/paths/path-error";
import { aboutEntry, type BytePath, shownName } from "../fs/byte-names.ts";
import { joinLeftOuts, NOTHING_LEFT_OUT } from "../fs/left-out.ts";
import { Pacer } from "../fs/pacer.ts";
import { type TreeLimits, TreeMeter } from "../fs/tree-limits.ts";
import { givenRules, IGNORE_FILE } from "../ignore/ignore-rules.ts";
import type { Workspace } from "../workspaces/workspaces.ts";
import type { Archive } from "./archive.ts";
import { readBlobs, wholeOf } from "./blob-reader.ts";
import { restoreExtras } from "./restore-extras.ts";
import type { Scanned } from "./scan.ts";
import { describeSnapshot, noteSnapshot, requireSnapshot, type Snapshot } from "./snapshot.ts";
import { compareTrees, type SizedEntry, type TreeChange, type TreeEntries } from "./tree-entries.ts";
import { ConcurrentChange, TreeWriter, writeEntries } from "./tree-writer.ts";
import type { WorkspaceRepository } from "./workspace-repository.ts";

export interface RestoreContext {
  readonly workspace: Workspace;
  readonly repository: WorkspaceRepository;
  readonly archive: Archive;
  readonly limits: TreeLimits;
  readonly signal: AbortSignal;
}

/** So often the tree is compared and mended before it is given up, since commands keep changing it. */
const ROUNDS = 5;

/**
 * Make the workspace's tree that of a snapshot: what was written since is replaced, what is not in it is removed, except for what the
 * snapshot's own .gitignore files exclude. Repositories in it get the HEAD, index and branches that they had. Repeated, it does what is left to do.
 *
 * NOT_FOUND `unknown_snapshot`; DATA_LOSS `corrupt_snapshot`, and the workspace is as it was; ABORTED `busy` if commands don't stop changing
 * the tree.
 */
export async function restoreSnapshot(context: RestoreContext, snapshotId: string): Promise<{ snapshot: Snapshot; changedFiles: number }> {
  const { repository, archive, limits, signal } = context;
  const manifest = await requireSnapshot(repository, archive, snapshotId);
  await archive.fetch(manifest, signal);
  const target = await repository.store.entries(manifest.tree);
  const meter = new TreeMeter(limits);
  for (const [path, { size }] of target) meter.add(shownName(path), size);
  const rules = givenRules(await ignoreFiles(repository, target));
  const leftOut = manifest.leftOut ?? NOTHING_LEFT_OUT;
  const tooLarge = new Set(leftOut.named.map(({ path }) => path));
  const changed = new Set<BytePath>();
  for (let round = 1; round <= ROUNDS; round++) {
    const { entries, omitted } = await repository.currentEntries(rules, target.keys());
    // What was too large for the snapshot stays as it is.
    for (const path of omitted) {
      const wanted = target.get(path);
      if (wanted !== undefined && tooLarge.has(shownName(path))) entries.set(path, { ...wanted, tag: "" });
    }
    const changes = await compareTrees(entries, target);
    if (changes.length === 0) {
      const scan = (): Promise<Scanned> => repository.currentEntries(rules, target.keys());
      const lacks = await restoreExtras(context, manifest, scan, (extras) => apply(context, extras));
      const lacking = joinLeftOuts(leftOut, lacks);
      await repository.store.keep("restored", manifest.tree);
      await repository.update({ restoredSnapshotId: snapshotId, restoredTree: manifest.tree, leftOut: lacking });
      await noteSnapshot(repository, manifest);
      await repository.remember({ tree: manifest.tree, entries });
      return { snapshot: { ...describeSnapshot(manifest), leftOut: lacking }, changedFiles: changed.size };
    }
    for (const { path } of changes) changed.add(path);
    await apply(context, changes);
  }
  throw pathError("busy", "");
}

async function apply({ workspace, repository, signal }: RestoreContext, changes: readonly TreeChange[]): Promise<void> {
  const sorted = [...changes].sort((a, b) => (a.path < b.path ? -1 : 1));
  const pacer = new Pacer(signal);
  await using writer = await TreeWriter.open(workspace.path, join(workspace.stagingDirectory, "restore"));
  try {
    // What goes first makes room, from the deepest up.
    for (const { path, after } of sorted.toReversed()) {
      if (after !== undefined) continue;
      aboutEntry(path, () => writer.remove(path));
      if (pacer.due) await pacer.rest();
    }
    await writeEntries(repository.store, writer, sorted, signal);
  } catch (error) {
    // The next round looks at what is there now.
    if (!(error instanceof ConcurrentChange)) throw error;
  }
}

/** The contents of a tree's .gitignore files, by their directories (with a slash at the end). */
async function ignoreFiles(repository: WorkspaceRepository, target: TreeEntries<SizedEntry>): Promise<Map<BytePath, string>> {
  const found = [...target].filter(([path, { mode }]) => mode !== "120000" && (path === IGNORE_FILE || path.endsWith(`/${IGNORE_FILE}`)));
  const contents = new Map<BytePath, string>();
  let index = 0;
  for await (const blob of readBlobs(
    repository.store.git,
    repository.store.gitDir,
    found.map(([, { oid }]) => oid),
  )) {
    const path = found[index++]?.[0] ?? "";
    contents.set(path.slice(0, -IGNORE_FILE.length), (await wholeOf(blob)).toString("latin1"));
  }
  return contents;
}
