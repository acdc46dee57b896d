import type { Leaf, LeafEvent } from "@serverless-harness/proto/leaf";

/**
 * A session's owner: every durable write carries it, and the store refuses an older epoch than the session's newest one,
 * atomically with the write.
 */
export interface Fence {
  readonly tenant: string;
  readonly sessionId: string;
  readonly epoch: bigint;
}

/** A leaf that one worker runs, until the lease ends or it lets go. */
export interface Claim {
  /** The leaf as it was when claimed, in state RUNNING. */
  readonly leaf: Leaf;
  readonly fence: Fence;
  /** The claim took over a leaf that another worker held: its lease had expired or it was known to be dead. */
  readonly takeover: boolean;
}

/** An event to append; the store adds leaf id, sequence number and time. */
export interface NewEvent {
  readonly event: LeafEvent["event"];
  /**
   * Names the event within its leaf: one that is appended again under the same key is dropped. So a brain that resumes can
   * announce what its log already holds without doubling what was announced before.
   */
  readonly key?: string;
}
