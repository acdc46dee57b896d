import type { NewEvent } from "@serverless-harness/session";

/** Events of the leaf that runs on a session: what was told by the time of a commit is written in the same step, under the same fence. */
export interface LeafEvents {
  readonly leafId: string;
  /** Hand over what is ready, at most `limit` events; nothing if nothing is, or if the source writes by itself at this moment. */
  take(limit: number): EventBatch | undefined;
}

/** Events on their way with a commit. The source hands over no others until it was told how they fared. */
export interface EventBatch {
  readonly events: readonly NewEvent[];
  /** They are written. */
  written(): void;
  /** The commit failed, and they are not written; if `unsure`, they may be. */
  failed(error: unknown, unsure: boolean): void;
}
