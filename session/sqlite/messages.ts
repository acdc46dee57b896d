import { create } from "@bufbuild/protobuf";
import { type LeafMessage, type LeafState, MessageDeliveredSchema, MessageReceivedSchema } from "@serverless-harness/proto/leaf";
import type { Claim, NewEvent } from "../contract/claim.ts";
import { deadlinePassed, leafEnded, leafNotFound, tooManyMessages } from "../contract/errors.ts";
import { hasPassed, isTerminal } from "../contract/leaf.ts";
import { asSent, joinSeqs, MAX_UNREAD, messageKey, type NewMessage, requireMessage, splitSeqs } from "../contract/messages.ts";
import type { Changes } from "./changes.ts";
import type { Bytes, Connection } from "./connection.ts";
import { appendEvents, messageIn, unreadOf } from "./events.ts";
import { requireOwner } from "./ownership.ts";

const FIND = "SELECT n, state, last_seq, unread, said_ms, deadline_ms FROM harness_leaves WHERE leaf_id = ?";
const KNOWN = "SELECT event FROM harness_events WHERE n = ? AND key = ?";
const SAID = "UPDATE harness_leaves SET unread = ?, said_ms = ? WHERE n = ?";
const SET_UNREAD = "UPDATE harness_leaves SET unread = ? WHERE n = ?";

type Listener = {
  n: number;
  state: LeafState;
  last_seq: number;
  unread: string | null;
  said_ms: number | null;
  deadline_ms: number | null;
};

/**
 * Take a message in, inside the caller's transaction, or find the one that its id stands for: whether that says the same, the caller checks
 * after the commit.
 */
export function sendMessage(connection: Connection, nowMs: number, leafId: string, message: NewMessage): LeafMessage {
  requireMessage(message);
  const leaf = connection.one<Listener>(FIND, leafId);
  if (leaf === undefined) throw leafNotFound();
  const key = messageKey(message.messageId);
  const row = connection.one<{ event: Bytes }>(KNOWN, leaf.n, key);
  const [known] = row === undefined ? [] : messageIn(row.event);
  if (known !== undefined) return known;
  if (isTerminal(leaf.state)) throw leafEnded();
  if (hasPassed(leaf.deadline_ms, nowMs)) throw deadlinePassed();
  const unread = splitSeqs(leaf.unread);
  if (unread.length >= MAX_UNREAD) throw tooManyMessages(MAX_UNREAD);
  const saidMs = Math.max(Math.floor(nowMs), (leaf.said_ms ?? 0) + 1);
  const sent = asSent(message, BigInt(saidMs));
  const value = create(MessageReceivedSchema, { message: sent });
  appendEvents(connection, leaf.n, nowMs, [{ event: { case: "messageReceived", value }, key }]);
  connection.run(SAID, joinSeqs([...unread, leaf.last_seq + 1]) ?? null, saidMs, leaf.n);
  return sent;
}

/** Take messages out of the claimed leaf's record, inside the caller's transaction. */
export function markDelivered(connection: Connection, nowMs: number, claim: Claim, messageIds: readonly string[]): void {
  const { n, unread } = requireOwner(connection, claim);
  const seqs = splitSeqs(unread);
  const waiting = unreadOf(connection, n, unread);
  const isDelivered = (index: number): boolean => messageIds.includes(waiting[index]?.messageId ?? "");
  const left = seqs.filter((_, index) => !isDelivered(index));
  if (left.length === seqs.length) return;
  connection.run(SET_UNREAD, joinSeqs(left) ?? null, n);
  const events = waiting
    .filter((_, index) => isDelivered(index))
    .map(({ messageId }): NewEvent => ({ event: { case: "messageDelivered", value: create(MessageDeliveredSchema, { messageId }) } }));
  appendEvents(connection, n, nowMs, events);
}

const NUMBER = "SELECT n FROM harness_leaves WHERE leaf_id = ?";
const WISHES = "SELECT cancel_requested, unread FROM harness_leaves WHERE n = ?";

/** Call `onWish` when what is wanted of a leaf has changed, until `signal` aborts or `isClosed` says that the store is. Never rejects. */
export async function listenTo(
  connection: Connection,
  changes: Changes,
  leafId: string,
  signal: AbortSignal,
  onWish: () => void,
  isClosed: () => boolean,
): Promise<void> {
  try {
    const leaf = connection.one<{ n: number }>(NUMBER, leafId);
    if (leaf === undefined) return;
    const subscription = changes.subscribe(leaf.n);
    try {
      // The leaf's own events wake as well, and far more often: they say nothing here.
      for (let known = wishesOf(connection, leaf.n); !signal.aborted && !isClosed(); ) {
        await subscription.wait(signal);
        if (signal.aborted || isClosed()) return;
        const wishes = wishesOf(connection, leaf.n);
        if (wishes !== known) onWish();
        known = wishes;
      }
    } finally {
      subscription.close();
    }
  } catch {
    // The heartbeat meets the database's error where it can be told.
  }
}

function wishesOf(connection: Connection, n: number): string {
  const row = connection.one<{ cancel_requested: number; unread: string | null }>(WISHES, n);
  return `${row?.cancel_requested} ${row?.unread}`;
}
