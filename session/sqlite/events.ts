import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import {
  type LeafEvent,
  LeafEventSchema,
  type LeafMessage,
  LeafState,
  StateChangedSchema,
  UsageSchema,
} from "@serverless-harness/proto/leaf";
import { addedUse } from "../contract/accounts.ts";
import type { NewEvent } from "../contract/claim.ts";
import { isTerminal } from "../contract/leaf.ts";
import { splitSeqs } from "../contract/messages.ts";
import { spend } from "./accounts.ts";
import type { Bytes, Connection } from "./connection.ts";
import { writeNotice } from "./notices.ts";

const LAST_SEQ = "SELECT leaf_id, last_seq, notify, tenant, account, usage FROM harness_leaves WHERE n = ?";
const INSERT = `INSERT INTO harness_events (n, seq, state, key, event) VALUES (?, ?, ?, ?, ?)
  ON CONFLICT (n, key) WHERE key IS NOT NULL DO NOTHING`;
const SET_LAST_SEQ = "UPDATE harness_leaves SET last_seq = ?, bytes = bytes + ? WHERE n = ?";
const SET_USAGE = "UPDATE harness_leaves SET usage = ? WHERE n = ?";
const READ = `SELECT e.event FROM harness_events e JOIN harness_leaves l ON l.n = e.n
  WHERE l.leaf_id = ? AND e.seq > ? ORDER BY e.seq LIMIT ?`;

type LeafOfLog = {
  leaf_id: string;
  last_seq: number;
  notify: number;
  tenant: string;
  account: string;
  usage: Bytes | null;
};

/**
 * Append events to a leaf's log inside the caller's transaction, and a change of state after them if one is given. An event whose key
 * the log has already is dropped; a usage event that is not becomes the record's usage. An opened gate and an end are noticed if the leaf was submitted so.
 */
export function appendEvents(
  connection: Connection,
  n: number,
  nowMs: number,
  events: readonly NewEvent[],
  change?: MessageInitShape<typeof StateChangedSchema>,
): void {
  const leaf = connection.one<LeafOfLog>(LAST_SEQ, n);
  if (leaf === undefined) throw new Error(`the store has no leaf number ${n}, but refers to it`);
  let seq = leaf.last_seq;
  let bytes = 0;
  const insert = (event: LeafEvent["event"], state: LeafState, key: string | undefined): boolean => {
    const entry = create(LeafEventSchema, { leafId: leaf.leaf_id, seq: BigInt(seq + 1), timeMs: BigInt(nowMs), event });
    const binary = toBinary(LeafEventSchema, entry);
    const added = connection.run(INSERT, n, seq + 1, state, key ?? null, binary) === 1;
    if (added) seq++;
    if (added) bytes += binary.length;
    if (added && leaf.notify !== 0 && (event.case === "gateOpened" || isTerminal(state))) writeNotice(connection, nowMs, n, seq);
    return added;
  };
  let known = leaf.usage === null ? undefined : fromBinary(UsageSchema, leaf.usage);
  for (const { event, key } of events) {
    if (event.case === "stateChanged") throw new TypeError("a leaf's state changes by the methods that change it, not by an event");
    const added = insert(event, LeafState.UNSPECIFIED, key);
    if (!added || event.case !== "usage") continue;
    connection.run(SET_USAGE, toBinary(UsageSchema, event.value), n);
    spend(connection, nowMs, leaf, addedUse(known, event.value));
    known = event.value;
  }
  if (change !== undefined) {
    const value = create(StateChangedSchema, change);
    insert({ case: "stateChanged", value }, value.state, undefined);
  }
  if (seq !== leaf.last_seq) connection.run(SET_LAST_SEQ, seq, bytes, n);
}

/** Events after `afterSeq`, in order, at most `limit`. */
export function readEvents(connection: Connection, leafId: string, afterSeq: bigint, limit: number): LeafEvent[] {
  return connection.all<{ event: Bytes }>(READ, leafId, afterSeq, limit).map((row) => fromBinary(LeafEventSchema, row.event));
}

const MESSAGE = "SELECT event FROM harness_events WHERE n = ? AND seq = ?";

/** A leaf's messages that were not delivered, oldest first. `unread`: their places in its log. */
export function unreadOf(connection: Connection, n: number, unread: string | null): LeafMessage[] {
  return splitSeqs(unread).flatMap((seq) => {
    const row = connection.one<{ event: Bytes }>(MESSAGE, n, seq);
    return row === undefined ? [] : messageIn(row.event);
  });
}

/** The message that an event tells of. */
export function messageIn(event: Bytes): LeafMessage[] {
  const found = fromBinary(LeafEventSchema, event).event;
  return found.case === "messageReceived" && found.value.message !== undefined ? [found.value.message] : [];
}
