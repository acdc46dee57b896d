import type { LeafMessage } from "@serverless-harness/proto/leaf";
import type { Claim } from "./leaf-store.ts";

/** A message as it is sent. */
export type NewMessage = Pick<LeafMessage, "messageId" | "mode" | "text" | "sentBy">;

/** What people want of a leaf that runs. */
export interface Wishes {
  /** A cancel was asked for. */
  readonly cancelRequested: boolean;
  /** Messages that were not delivered, oldest first. */
  readonly messages: readonly LeafMessage[];
}

/** What is said to leaves. Each method is one step, as those of the leaf store. */
export interface Messages {
  /**
   * Say something to a leaf that is not over. It wakes nobody: who runs the leaf, or claims it next, finds it in the record. A known message id with
   * the same content returns the message as it was taken in, also where it was delivered or the leaf is over; with another it is ALREADY_EXISTS
   * `message_id_reused`: ids are known for as long as the leaf is kept. NOT_FOUND `leaf_not_found`; FAILED_PRECONDITION `leaf_ended`;
   * RESOURCE_EXHAUSTED `too_many_messages` where 32 wait. Times of a leaf's messages go up strictly, so that one names its message.
   */
  send(leafId: string, message: NewMessage): Promise<LeafMessage>;
  /** Take messages out of the record, since they are in the session's log. Those that are not in it are passed over. */
  delivered(claim: Claim, messageIds: readonly string[]): Promise<void>;
  /**
   * Call `onWish` soon after a cancel of a leaf or a message to it, until `signal` aborts. A hint, which may come late, never, or for nothing: what
   * is wanted the heartbeat tells.
   */
  listen(leafId: string, signal: AbortSignal, onWish: () => void): void;
}
