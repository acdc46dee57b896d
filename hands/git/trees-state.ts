import { readFile } from "node:fs/promises";
import { writeDurably } from "../files/durable.ts";
import { errnoOf } from "../files/fs-error.ts";
import type { Bundle, Manifest } from "./manifest.ts";
import { EMPTY_TREE } from "./tree-entries.ts";

/** What the daemon remembers of a workspace's trees. */
export interface TreesState {
  readonly version: 1;
  /** The tree that the workspace was made with. */
  readonly baseTree: string;
  /** The commit that it was made at; empty where it has no git source. */
  readonly baseCommit: string;
  /** The tree that it was restored to last; empty where none. */
  readonly restoredTree: string;
  /** The snapshot that it was restored from last; empty where none. */
  readonly restoredSnapshotId: string;
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
  anchor: undefined,
  snapshots: [],
};

/** Read a state; {@link INITIAL_STATE} where there is no file. */
export async function readState(path: string): Promise<TreesState> {
  try {
    return JSON.parse(await readFile(path, "utf8")) as TreesState;
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return INITIAL_STATE;
    throw error;
  }
}

/** Replace a state durably. */
export async function writeState(path: string, state: TreesState): Promise<void> {
  await writeDurably(path, JSON.stringify({ ...state, snapshots: state.snapshots.slice(-MAX_SNAPSHOTS) }));
}
