import { create } from "@bufbuild/protobuf";
import { Validation } from "@serverless-harness/kit/validate";
import { type LeafMessage, LeafMessageSchema, MessageMode } from "@serverless-harness/proto/leaf";
import type { Claim } from "./claim.ts";
import { messageIdReused } from "./errors.ts";

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
   * the same content returns the message as it was taken in, also if it was delivered or the leaf is over; with another it is ALREADY_EXISTS
   * `message_id_reused`: ids are known for as long as the leaf is kept. NOT_FOUND `leaf_not_found`; FAILED_PRECONDITION `leaf_ended`;
   * RESOURCE_EXHAUSTED `too_many_messages` if 32 wait. Times of a leaf's messages go up strictly, so that one names its message.
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

/** Messages of one leaf that wait to be delivered. */
export const MAX_UNREAD = 32;

const MODES: readonly MessageMode[] = [MessageMode.UNSPECIFIED, MessageMode.STEER, MessageMode.FOLLOW_UP];
const MAX_TEXT_BYTES = 64 * 1024;

/** Throw INVALID_ARGUMENT that names every field of a message that is out of its limits. */
export function requireMessage(message: NewMessage): void {
  const validation = new Validation();
  checkMessage(validation, message);
  validation.done();
}

/** Note every field of a message that is out of its limits. */
export function checkMessage(validation: Validation, { messageId, mode, text, sentBy }: NewMessage): void {
  validation.name("message_id", messageId);
  validation.check("mode", MODES.includes(mode), "must be steer, follow-up or unset");
  validation.check("text", text.trim() !== "", "must be text that is not blank");
  validation.maxBytes("text", text, MAX_TEXT_BYTES);
  validation.check("text", text.isWellFormed(), "must be valid Unicode");
  validation.characters("sent_by", sentBy, 0, 256);
  validation.line("sent_by", sentBy);
}

/** A message as it is kept, but for its time if none is given. */
export function asSent({ messageId, mode, text, sentBy }: NewMessage, sentAtMs = 0n): LeafMessage {
  return create(LeafMessageSchema, { messageId, mode: mode || MessageMode.STEER, text, sentBy, sentAtMs });
}

/** Throw ALREADY_EXISTS `message_id_reused` if `message` says something else than the one that its id stands for. */
export function assertSameMessage(known: LeafMessage, message: NewMessage): void {
  const { mode, text, sentBy } = asSent(message);
  if (known.mode !== mode || known.text !== text || known.sentBy !== sentBy) throw messageIdReused();
}

/** The key of the event that tells of a message: it is in the log once. */
export function messageKey(messageId: string): string {
  return `message:${messageId}`;
}

/** Places in a log, as a leaf keeps those of its unread messages: `undefined` for none, which takes no room. */
export function joinSeqs(seqs: readonly number[]): string | undefined {
  return seqs.length === 0 ? undefined : seqs.join("\n");
}

/** The places that {@link joinSeqs} joined. */
export function splitSeqs(text: string | null): number[] {
  return text === null || text === "" ? [] : text.split("\n").map(Number);
}
