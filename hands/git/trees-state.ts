import { readFile } from "node:fs/promises";
import { errnoOf } from "@serverless-harness/kit/paths/path-error";
import { DamagedRecord, writeDurably } from "../fs/durable.ts";
import { isLeftOuts, type LeftOuts, NOTHING_LEFT_OUT } from "../fs/left-out.ts";
import { type Bundle, isBundle, isManifest, type Manifest } from "./manifest.ts";
import { EMPTY_TREE } from "./tree-entries.ts";

/** What the daemon remembers of a workspace's trees. */
export interface TreesState {
  readonly version: 1;
  /** The tree that the workspace was made with. */
  readonly baseTree: string;
  /** The commit that it was made at; empty if it has no git source. */
  readonly baseCommit: string;
  /** The tree that it was restored to last; empty if none. */
  readonly restoredTree: string;
  /** The snapshot that it was restored from last; empty if none. */
  readonly restoredSnapshotId: string;
  /** What it lacks of what it was made from or restored to. */
  readonly leftOut: LeftOuts;
  /** The last bundle with a whole tree: what comes later is stored as the difference to it. */
  readonly anchor: Bundle | undefined;
  /** The latest snapshots, the oldest first. */
  readonly snapshots: readonly Manifest[];
}

/** As many snapshots are remembered here. */
const MAX_SNAPSHOTS = 50;

/** A workspace about which nothing was noted: it was empty. */
export const INITIAL_STATE: TreesState = {
  version: 1,
  baseTree: EMPTY_TREE,
  baseCommit: "",
  restoredTree: "",
  restoredSnapshotId: "",
  leftOut: NOTHING_LEFT_OUT,
  anchor: undefined,
  snapshots: [],
};

/** Read a state; {@link INITIAL_STATE} if there is no file. {@link DamagedRecord} if there is something else. */
export async function readState(path: string): Promise<TreesState> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return INITIAL_STATE;
    throw error;
  }
  try {
    const state: unknown = JSON.parse(text);
    if (isState(state)) return { ...INITIAL_STATE, ...state };
  } catch {
    // Told below: what it is instead does not matter.
  }
  throw new DamagedRecord("the record of its trees can't be read");
}

function isState(value: unknown): value is TreesState {
  if (typeof value !== "object" || value === null) return false;
  const { version, snapshots, anchor, leftOut, ...texts } = value as Record<keyof TreesState, unknown>;
  const { baseTree, baseCommit, restoredTree, restoredSnapshotId } = texts;
  return (
    version === 1 &&
    [baseTree, baseCommit, restoredTree, restoredSnapshotId].every((text) => typeof text === "string") &&
    (anchor === undefined || isBundle(anchor)) &&
    (leftOut === undefined || isLeftOuts(leftOut)) &&
    Array.isArray(snapshots) &&
    snapshots.every(isManifest)
  );
}

export async function writeState(path: string, state: TreesState): Promise<void> {
  await writeDurably(path, JSON.stringify({ ...state, snapshots: state.snapshots.slice(-MAX_SNAPSHOTS) }));
}
