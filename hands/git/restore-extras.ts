import { join } from "node:path";
import { pathError } from "@serverless-harness/kit/paths/path-error";
import type { BytePath } from "../fs/byte-names.ts";
import { type LeftOuts, NOTHING_LEFT_OUT } from "../fs/left-out.ts";
import type { Workspace } from "../workspaces/workspaces.ts";
import { corrupt } from "./archive.ts";
import { readBlobs, wholeOf } from "./blob-reader.ts";
import { ATTRIBUTES, type Attributes, fromStored, parseAttributes } from "./extras.ts";
import type { Manifest } from "./manifest.ts";
import { DIRECTORY_MODE, fileMode, type Scanned } from "./scan.ts";
import { compareTrees, type SizedEntry, type TreeChange } from "./tree-entries.ts";
import { ConcurrentChange, TreeWriter } from "./tree-writer.ts";
import type { WorkspaceRepository } from "./workspace-repository.ts";

/** Applies changes to the workspace, in whatever order is needed. */
type Apply = (changes: readonly TreeChange[]) => Promise<void>;

/** So often what is there is compared and mended before it is given up. */
const ROUNDS = 5;

/** What is told of a snapshot that was taken before there were extras. */
const NO_EXTRAS: LeftOuts = {
  named: [{ path: ".", why: "has the git state, empty directories and permissions that it was made with: this snapshot has files only" }],
  more: 0,
};

/**
 * Make repositories' own directories (with HEAD, index and branches), empty directories and permissions those of a
 * snapshot, of which the files are there already. Returns what the snapshot lacks of them. ABORTED `busy` if commands
 * don't stop changing them.
 */
export async function restoreExtras(
  { workspace, repository }: { workspace: Workspace; repository: WorkspaceRepository },
  manifest: Manifest,
  scan: () => Promise<Scanned>,
  apply: Apply,
): Promise<LeftOuts> {
  if (manifest.root === undefined) return NO_EXTRAS;
  const stored = await repository.store.entries(`${manifest.root}:extras`);
  const attributes = await readAttributes(repository, stored, manifest);
  const wanted = fromStored(stored);
  for (let round = 1; ; round++) {
    const { repositories } = await scan();
    const changes = await compareTrees((await repository.currentRepositories(repositories)).entries, wanted);
    if (changes.length === 0) break;
    if (round === ROUNDS) throw pathError("busy", "");
    await apply(changes);
  }
  const now = await scan();
  const repositories = await repository.currentRepositories(now.repositories);
  await using writer = await TreeWriter.open(workspace.path, join(workspace.stagingDirectory, "restore"));
  try {
    applyAttributes(writer, attributes, now, [...now.empty.keys(), ...repositories.empty.keys()]);
  } catch (error) {
    if (error instanceof ConcurrentChange) throw pathError("busy", "", { cause: error });
    throw error;
  }
  return NOTHING_LEFT_OUT;
}

function applyAttributes(writer: TreeWriter, { empty, modes }: Attributes, now: Scanned, emptyNow: readonly BytePath[]): void {
  for (const path of [...emptyNow].sort().reverse()) if (!empty.has(path)) writer.removeDirectory(path);
  for (const path of [...empty.keys()].sort()) writer.makeDirectory(path);
  for (const path of now.modes.keys()) {
    const entry = now.entries.get(path);
    if (!modes.has(path)) writer.setMode(path, entry === undefined ? DIRECTORY_MODE : fileMode(entry.mode));
  }
  // From the deepest up: a directory that may not be entered any more has nothing left to be done below.
  const all: [BytePath, number][] = [...empty, ...modes];
  for (const [path, mode] of all.sort(([a], [b]) => (a < b ? 1 : -1))) writer.setMode(path, mode);
}

async function readAttributes(
  { store }: WorkspaceRepository,
  stored: ReadonlyMap<BytePath, SizedEntry>,
  { snapshotId }: Manifest,
): Promise<Attributes> {
  const entry = stored.get(ATTRIBUTES);
  for await (const blob of readBlobs(store.git, store.gitDir, entry === undefined ? [] : [entry.oid])) {
    const attributes = parseAttributes((await wholeOf(blob)).toString());
    if (attributes !== undefined) return attributes;
  }
  throw corrupt(snapshotId, "its permissions can't be read");
}
