import { Code } from "@connectrpc/connect";
import { HarnessError } from "@serverless-harness/kit/errors";
import { joinLeftOuts, type LeftOuts, NOTHING_LEFT_OUT } from "../fs/left-out.ts";
import type { Archive } from "./archive.ts";
import type { Bundle, Manifest } from "./manifest.ts";
import type { WorkspaceRepository } from "./workspace-repository.ts";

export interface Snapshot {
  readonly snapshotId: string;
  /** Equal trees have equal ids. */
  readonly tree: string;
  /** Bytes of the bundle that was written for it, or that it shares with an earlier one of the same tree. */
  readonly bytes: number;
  readonly createdAtMs: number;
  /** What is not in it, beside what .gitignore excludes. */
  readonly leftOut: LeftOuts;
}

/** When a snapshot is taken. */
export interface SnapshotConditions {
  /** An earlier snapshot will do if it holds the same and is all in the artifact store. Default false. */
  readonly onlyIfChanged?: boolean;
  /** Throws if the caller may not take it any more: asked right before the snapshot is there. */
  readonly fence?: () => void;
}

/** What came of it. */
export interface SnapshotTaken {
  readonly snapshot: Snapshot;
  /** It was taken earlier under this id. */
  readonly replayed: boolean;
  /** It is an earlier one under another id. */
  readonly unchanged: boolean;
}

/**
 * A bundle that holds a whole tree is not built upon, nor used again, when it is so old: who lets an artifact store remove what is old then
 * knows that a snapshot's parts are at most a day older than the snapshot.
 */
const BUNDLE_MAX_AGE_MS = 24 * 60 * 60_000;

/** Snapshots of a workspace that stay in the artifact store: the newest of those that this daemon took or restored. */
export const KEPT_SNAPSHOTS = 20;

/** A difference may be so large beside the whole; beyond, the whole is written again. */
const DIFFERENCE_SHARE = 0.5;
const DIFFERENCE_BYTES = 1024 * 1024;

/**
 * Store the workspace's tree under an id; the same id gets the first one again. Nothing of the workspace is written to: its own repository,
 * index and files are what they were. Throws what `fence` does.
 *
 * What goes to the artifact store is the difference to the last whole tree that is there, or nothing but a description if an equal
 * tree is there; so a snapshot costs what has changed, and a restore reads two bundles at the most.
 */
export async function takeSnapshot(
  repository: WorkspaceRepository,
  archive: Archive,
  snapshotId: string,
  { onlyIfChanged = false, fence = () => undefined }: SnapshotConditions = {},
): Promise<SnapshotTaken> {
  const known = await findSnapshot(repository, archive, snapshotId);
  if (known !== undefined) return { snapshot: describeSnapshot(known), replayed: true, unchanged: false };
  const { tree, found } = await repository.currentTree();
  const extras = await repository.currentExtras(found);
  const root = await repository.store.join({ extras: extras.tree, files: tree });
  const same = onlyIfChanged ? await storedLike(repository, archive, root) : undefined;
  fence();
  if (same !== undefined) {
    // It counts as the newest one from here on.
    await repository.update({ snapshots: [...repository.state.snapshots.filter((manifest) => manifest !== same), same] });
    return { snapshot: describeSnapshot(same), replayed: false, unchanged: true };
  }
  const bundles = await bundlesOf(repository, archive, root, snapshotId);
  const manifest: Manifest = {
    version: 1,
    snapshotId,
    tree,
    createdAtMs: Date.now(),
    bundles,
    root,
    leftOut: joinLeftOuts(found.leftOut, extras.leftOut),
  };
  fence();
  await archive.putManifest(manifest);
  await noteSnapshot(repository, manifest);
  // A snapshot that was taken is not refused for an old one that can't be removed now: the next one tries again.
  await removeOld(repository, archive).catch(() => undefined);
  await repository.store.compact();
  return { snapshot: describeSnapshot(manifest), replayed: false, unchanged: false };
}

/** A snapshot that holds a tree, is all in the artifact store, and is not about to be removed there as old. */
async function storedLike({ state }: WorkspaceRepository, archive: Archive, root: string): Promise<Manifest | undefined> {
  const same = state.snapshots.findLast((manifest) => manifest.root === root);
  return same?.bundles.every(isRecent) === true && (await archive.has(same)) ? same : undefined;
}

/** Remove what the newest snapshots have made superfluous, with the parts that none of those builds on. */
async function removeOld(repository: WorkspaceRepository, archive: Archive): Promise<void> {
  const { snapshots, anchor } = repository.state;
  const kept = snapshots.slice(-KEPT_SNAPSHOTS);
  if (kept.length === snapshots.length) return;
  const used = new Set([...kept.flatMap(({ bundles }) => bundles), ...(anchor === undefined ? [] : [anchor])].map(({ key }) => key));
  for (const manifest of snapshots.slice(0, -KEPT_SNAPSHOTS)) await archive.remove(manifest, used);
  await repository.update({ snapshots: kept });
}

/** The snapshot of an id, from here or from the artifact store; `undefined` if there is none. */
async function findSnapshot(repository: WorkspaceRepository, archive: Archive, snapshotId: string): Promise<Manifest | undefined> {
  return repository.state.snapshots.find((manifest) => manifest.snapshotId === snapshotId) ?? archive.manifest(snapshotId);
}

/** {@link findSnapshot}, NOT_FOUND `unknown_snapshot` if there is none. */
export async function requireSnapshot(repository: WorkspaceRepository, archive: Archive, snapshotId: string): Promise<Manifest> {
  const manifest = await findSnapshot(repository, archive, snapshotId);
  if (manifest !== undefined) return manifest;
  const message = `there is no snapshot ${snapshotId} of this workspace: name one that was taken`;
  throw new HarnessError(Code.NotFound, "unknown_snapshot", message, { metadata: { snapshotId } });
}

/** Remember a snapshot that is in the artifact store; what comes next builds on it. */
export async function noteSnapshot(repository: WorkspaceRepository, manifest: Manifest): Promise<void> {
  const [anchor] = manifest.bundles;
  if (anchor !== undefined && anchor.commit !== repository.state.anchor?.commit) await repository.store.keep("anchor", anchor.commit);
  const others = repository.state.snapshots.filter(({ snapshotId }) => snapshotId !== manifest.snapshotId);
  await repository.update({ anchor, snapshots: [...others, manifest] });
}

export function describeSnapshot({ snapshotId, tree, createdAtMs, bundles, leftOut }: Manifest): Snapshot {
  return { snapshotId, tree, createdAtMs, bytes: bundles.at(-1)?.bytes ?? 0, leftOut: leftOut ?? NOTHING_LEFT_OUT };
}

async function bundlesOf(repository: WorkspaceRepository, archive: Archive, root: string, snapshotId: string): Promise<readonly Bundle[]> {
  const { store, state } = repository;
  const same = state.snapshots.findLast((manifest) => manifest.root === root);
  if (same?.bundles.every(isRecent) === true && (await archive.hasBundles(same.bundles))) return same.bundles;
  const isUsable = state.anchor !== undefined && isRecent(state.anchor) && (await archive.hasBundles([state.anchor]));
  const anchor = isUsable ? state.anchor : undefined;
  if (anchor !== undefined && (await store.treeOf(anchor.commit)) !== undefined) {
    const limit = Math.max(DIFFERENCE_BYTES, anchor.bytes * DIFFERENCE_SHARE);
    const commit = await store.commit(root, anchor.commit);
    const difference = await archive.putBundle(snapshotId, commit, { since: anchor.commit, maxBytes: limit });
    if (difference !== undefined) return [anchor, difference];
  }
  const whole = await archive.putBundle(snapshotId, await store.commit(root, undefined));
  return whole === undefined ? [] : [whole];
}

function isRecent(bundle: Bundle): boolean {
  // One from the future was written by a clock that was wrong: its age is not known.
  return Math.abs(Date.now() - bundle.createdAtMs) < BUNDLE_MAX_AGE_MS;
}
