import { value } from "@earendil-works/pi-agent-core";
import type { Restored } from "../log/events.ts";

/** What a workspace was made from. */
export interface MadeFrom {
  /** Empty if it has no repository, or if that is not known. */
  readonly url: string;
  /** Empty if it has no repository. */
  readonly baseCommit: string;
}

/** A workspace that is there. */
export interface MadeWorkspace {
  /** One that was made again under the same name has another identity. */
  readonly identity: string;
  readonly source: MadeFrom;
  /** It is from before the session came to this sandbox: what is in it is old, unless the log says that the session was last here. */
  readonly isOld: boolean;
}

/** A point of the session's log at which a snapshot of the workspace was asked for. */
export interface SnapshotNote {
  readonly id: string;
  /** The newest entry at that time; `null` if there was none. */
  readonly tipId: string | null;
  /** Tool calls that were over by then, though their results were no entries yet. */
  readonly done: readonly string[];
  /** Milliseconds since the Unix epoch. */
  readonly atMs: number;
}

/** What a session's log knows of its workspace. Kept as one value beside the conversation: the model does not read it. */
export interface WorkspaceState {
  /** Identity of the workspace that the session last worked in. */
  readonly made: string;
  /** What it was made from: another one in its place is made from that as well. */
  readonly source: MadeFrom;
  /** Tool calls that had begun in a workspace that is gone: they are not made again. */
  readonly lost: readonly string[];
  /** The operation that can't go on, since what it had done is gone. */
  readonly broken?: string;
  readonly restored?: Restored;
  /** The leaf that changed the workspace last, and the newest snapshot before it did. */
  readonly changedBy?: { readonly leafId: string; readonly before?: string };
  /** The leaf that changed it first. */
  readonly firstChangedBy?: string;
  /** The operation for which the workspace was taken back to where its leaf had found it. */
  readonly takenBackFor?: string;
  /** The oldest first. */
  readonly snapshots: readonly SnapshotNote[];
  /** Snapshots that were ever asked for. */
  readonly asked: number;
}

/** As many snapshots are remembered. */
const MAX_NOTES = 20;

/** Where it is kept. Pi leaves namespaces alone that are not its own, and archives hold them. */
export const WORKSPACE_STATE = value<WorkspaceState>("harness.workspace", "main");

/** A session that has not changed its workspace yet. */
export function untouched({ identity, source }: MadeWorkspace): WorkspaceState {
  return { made: identity, source, lost: [], snapshots: [], asked: 0 };
}

/** Before a leaf changes the workspace. */
export function changedBy(state: WorkspaceState, leafId: string): WorkspaceState {
  const before = state.snapshots.at(-1)?.id;
  return {
    ...state,
    changedBy: { leafId, ...(before === undefined ? {} : { before }) },
    firstChangedBy: state.firstChangedBy ?? leafId,
  };
}

/** Without the snapshots after one; without any if none is named. */
export function upTo(state: WorkspaceState, snapshotId: string | undefined): WorkspaceState {
  const end = state.snapshots.findIndex(({ id }) => id === snapshotId) + 1;
  return { ...state, snapshots: state.snapshots.slice(0, end) };
}

/** With one more snapshot. */
export function withNote(state: WorkspaceState, note: SnapshotNote): WorkspaceState {
  return { ...state, asked: state.asked + 1, snapshots: [...state.snapshots, note].slice(-MAX_NOTES) };
}
