import { fromBinary } from "@bufbuild/protobuf";
import { LeafEventSchema, type LeafMessage } from "@serverless-harness/proto/leaf";
import { splitSeqs } from "../contract/message-rules.ts";
import type { Bytes, Connection } from "./connection.ts";

const READ = "SELECT event FROM harness_events WHERE n = ? AND seq = ?";

/** A leaf's messages that were not delivered, oldest first. `unread`: their places in its log. */
export function unreadOf(connection: Connection, n: number, unread: string | null): LeafMessage[] {
  return splitSeqs(unread).flatMap((seq) => {
    const row = connection.one<{ event: Bytes }>(READ, n, seq);
    return row === undefined ? [] : messageIn(row.event);
  });
}

/** The message that an event tells of. */
export function messageIn(event: Bytes): LeafMessage[] {
  const found = fromBinary(LeafEventSchema, event).event;
  return found.case === "messageReceived" && found.value.message !== undefined ? [found.value.message] : [];
}
