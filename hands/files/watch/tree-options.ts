import type { Handle } from "@serverless-harness/kit/paths/handle";
import type { FileKind, WatchChangeKind } from "@serverless-harness/proto/hands";
import type { WatchBudget } from "./budget.ts";
import type { View } from "./directory.ts";
import type { Inotify } from "./inotify.ts";

/** A change of one entry. */
export interface TreeChange {
  readonly kind: WatchChangeKind;
  /** Segments below the watched directory. */
  readonly path: readonly string[];
  readonly fileKind: FileKind;
}

/** What a tree works with. */
export interface TreeOptions {
  readonly view: View;
  readonly budget: WatchBudget;
  /** `undefined`: everything is looked at in an interval. */
  readonly inotify: Inotify | undefined;
  /** A handle to what the watched path leads to. `undefined` if that is no directory any more. */
  readonly open: () => Handle | undefined;
  readonly tell: (change: TreeChange) => void;
  /** There is something to look at. */
  readonly onDirty: () => void;
  /** Asked every few milliseconds; throws to end the work. */
  readonly checkpoint: () => void;
}
