import { create } from "@bufbuild/protobuf";
import { Validation } from "@serverless-harness/kit/validate";
import { type LeafMessage, LeafMessageSchema, MessageMode } from "@serverless-harness/proto/leaf";
import { messageIdReused } from "./errors.ts";
import type { NewMessage } from "./messages.ts";

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

/** A message as it is kept, but for its time where none is given. */
export function asSent({ messageId, mode, text, sentBy }: NewMessage, sentAtMs = 0n): LeafMessage {
  return create(LeafMessageSchema, { messageId, mode: mode || MessageMode.STEER, text, sentBy, sentAtMs });
}

/** Throw ALREADY_EXISTS `message_id_reused` where `message` says something else than the one that its id stands for. */
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
