import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import {
  type LeafEvent,
  LeafEventSchema,
  type LeafMessage,
  type LeafState,
  StateChangedSchema,
  type Usage,
  UsageSchema,
} from "@serverless-harness/proto/leaf";
import { spentOf } from "../contract/accounts.ts";
import type { NewEvent } from "../contract/claim.ts";
import type { Database } from "./database.ts";
import { type Argument, bytes, list, type Reply, text } from "./scripts.ts";

/** Events that one script appends or reads at the most. */
export const EVENTS_PER_SCRIPT = 500;

/** A page of a leaf's log. */
export interface EventPage {
  /** The leaf's state when the page was read; `undefined` if there is no such leaf. */
  readonly state: LeafState | undefined;
  readonly events: LeafEvent[];
}

/** A change of state as the log holds it. What only the store knows (epoch, expired lease) the script adds. */
export function stateEvent(change: MessageInitShape<typeof StateChangedSchema>): Uint8Array {
  return toBinary(LeafEventSchema, create(LeafEventSchema, { event: { case: "stateChanged", value: create(StateChangedSchema, change) } }));
}

/** Events as arguments of a script, in batches that one script may append. There is at least one, which may be empty. */
export function eventBatches(events: readonly NewEvent[]): Argument[][] {
  const encoded = events.map(({ event, key }): Argument[] => {
    if (event.case === "stateChanged") throw new TypeError("a leaf's state changes by the methods that change it, not by an event");
    const usage = event.case === "usage" ? usageArgument(event.value) : "";
    return [key ?? "", usage, toBinary(LeafEventSchema, create(LeafEventSchema, { event }))];
  });
  const batches: Argument[][] = [];
  for (let i = 0; i === 0 || i < encoded.length; i += EVENTS_PER_SCRIPT) {
    const batch = encoded.slice(i, i + EVENTS_PER_SCRIPT);
    batches.push([batch.length, ...batch.flat()]);
  }
  return batches;
}

/** A usage, with the numbers in it that scripts count in front. */
function usageArgument(usage: Usage): Uint8Array {
  const { tokens, microUsd } = spentOf(usage);
  return Buffer.concat([Buffer.from(`${tokens} ${microUsd}\n`), toBinary(UsageSchema, usage)]);
}

/** Events after `afterSeq`, in order, at most `limit` and at most {@link EVENTS_PER_SCRIPT}. */
export async function readPage(database: Database, leafId: string, afterSeq: bigint, limit: number): Promise<EventPage> {
  const partition = database.names.partitionOfLeaf(leafId);
  if (partition === undefined) return { state: undefined, events: [] };
  const [state, entries] = list(await database.run("events", partition, leafId, afterSeq, Math.min(limit, EVENTS_PER_SCRIPT)));
  return {
    state: text(state) === "" ? undefined : (Number(text(state)) as LeafState),
    events: list(entries).map((entry, i) => eventOf(leafId, afterSeq + BigInt(i + 1), bytes(entry))),
  };
}

/** Events after `afterSeq`, in order, at most `limit`. */
export async function readEvents(database: Database, leafId: string, afterSeq: bigint, limit: number): Promise<LeafEvent[]> {
  const found: LeafEvent[] = [];
  for (let seq = afterSeq; found.length < limit; ) {
    const { events } = await readPage(database, leafId, seq, limit - found.length);
    found.push(...events);
    if (events.length < Math.min(EVENTS_PER_SCRIPT, limit)) break;
    seq = events.at(-1)?.seq ?? seq;
  }
  return found;
}

/** An event of the log, with its leaf and its place there. */
function eventOf(leafId: string, seq: bigint, stored: Buffer): LeafEvent {
  const event = storedEvent(stored);
  event.leafId = leafId;
  event.seq = seq;
  return event;
}

/** An event as the log holds it: time, epoch and note, each with a colon after it, then the message. */
function storedEvent(stored: Buffer): LeafEvent {
  const ends: number[] = [];
  for (let i = 0; i < 3; i++) ends.push(stored.indexOf(":", (ends.at(-1) ?? -1) + 1));
  const [time = 0, epoch = 0, note = 0] = ends;
  const event = fromBinary(LeafEventSchema, stored.subarray(note + 1));
  event.timeMs = BigInt(stored.toString("latin1", 0, time));
  if (event.event.case === "stateChanged" && epoch > time + 1) {
    event.event.value.epoch = BigInt(stored.toString("latin1", time + 1, epoch));
    event.event.value.note = stored.toString("utf8", epoch + 1, note);
  }
  return event;
}

/** The messages that a list of events of a leaf's log tells of. */
export function messagesOf(events: Reply | undefined): LeafMessage[] {
  if (!Array.isArray(events)) return [];
  return events.flatMap((stored: Reply) => {
    const event = Buffer.isBuffer(stored) ? storedEvent(stored).event : undefined;
    return event?.case === "messageReceived" && event.value.message !== undefined ? [event.value.message] : [];
  });
}
