import { hash } from "node:crypto";
import { Code } from "@connectrpc/connect";
import type { Entry, EntryStructure, SessionStats, Write } from "@earendil-works/pi-agent-core";
import { HarnessError } from "@serverless-harness/kit/errors";
import { type Argument, bytes, encode, list, type Reply, text } from "@serverless-harness/session/redis";
import { EntryReader, type Head } from "./head.ts";

/** Bytes of one entry, value or list element at the most. */
export const MAX_WRITE_BYTES = 16 * 1024 * 1024;
/** Bytes of one commit at the most: less than what Redis takes from a client at once. */
export const MAX_COMMIT_BYTES = 64 * 1024 * 1024;

/** Characters of the hash that a body begins with. */
const HASH_LENGTH = 32;

type NewEntry = Omit<Entry, "seq" | "timestamp">;

/** A commit's writes as arguments of its script. Throws INVALID_ARGUMENT `entry_too_large` or `commit_too_large`. */
export function encodeWrites(writes: readonly Write[], timestamp: number): Argument[] {
  const args: Argument[] = [];
  let size = 0;
  const json = (value: unknown, what: string): string => {
    const encoded = JSON.stringify(value);
    const length = Buffer.byteLength(encoded);
    if (length > MAX_WRITE_BYTES) throw tooLarge("entry_too_large", `${what} has ${length} bytes`, MAX_WRITE_BYTES);
    size += length;
    return encoded;
  };
  for (const write of writes) {
    if (write.kind === "entry") args.push("e", ...encodeEntry(write.entry, timestamp, json));
    else if (write.kind === "usage") args.push("u", write.row.id, json(write.row, `usage ${write.row.id}`));
    else {
      const [space, key] = [encode(write.namespace), write.key];
      const letter = write.kind === "value" ? { set: "v", delete: "d" } : { append: "l", delete: "x" };
      const name = write.kind === "value" ? key : encode(key);
      if (write.op === "delete") args.push(letter.delete, space, name);
      else args.push("append" in letter ? letter.append : letter.set, space, name, json(write.value, `${write.namespace}:${key}`));
    }
  }
  if (size > MAX_COMMIT_BYTES) throw tooLarge("commit_too_large", `a commit has ${size} bytes`, MAX_COMMIT_BYTES);
  return args;
}

/** An entry's id, parent, type, custom type and body. */
export function encodeEntry(
  entry: NewEntry,
  timestamp: number,
  json: (value: unknown, what: string) => string = (value) => JSON.stringify(value),
): string[] {
  const { id, parentId, type, customType = "", seq: _, timestamp: __, ...payload } = entry as Entry;
  const body = json(payload, `entry ${id}`);
  const parent = parentId === null ? "" : `p${parentId}`;
  return [id, parent, type, customType, hashOf([id, parent, String(timestamp), type, customType, body]) + body];
}

/** Entries that a script showed whole. Throws DATA_LOSS `entry_corrupt` if one is not what was written. */
export function decodeEntries(shown: Reply | undefined): Entry[] {
  const entries: Entry[] = [];
  for (const reader = new EntryReader(bytes(shown)); !reader.done; ) {
    const { head, body } = reader.next();
    entries.push(decodeEntry(head, body));
  }
  return entries;
}

/** Entries that a script showed without their content. */
export function decodeStructures(shown: Reply | undefined): EntryStructure[] {
  const entries: EntryStructure[] = [];
  for (const reader = new EntryReader(bytes(shown)); !reader.done; ) entries.push(structureOf(reader.next().head));
  return entries;
}

function decodeEntry(head: Head, stored: string): Entry {
  const body = stored.slice(HASH_LENGTH);
  const parent = head.parent === null ? "" : `p${head.parent}`;
  if (stored.slice(0, HASH_LENGTH) !== hashOf([head.id, parent, head.time, head.type, head.custom, body])) {
    const message = `entry ${head.id}, number ${head.seq} of its session, is not what was written: restore it from a backup, the others can be read`;
    throw new HarnessError(Code.DataLoss, "entry_corrupt", message, { metadata: { entry: head.id, seq: String(head.seq) } });
  }
  return Object.assign(structureOf(head), JSON.parse(body)) as Entry;
}

function structureOf({ id, seq, parent, time, type, custom }: Head): EntryStructure {
  const structure: EntryStructure = { id, parentId: parent, seq, timestamp: Number(time), type: type as EntryStructure["type"] };
  if (type === "custom") structure.customType = custom;
  return structure;
}

/** A session's totals. */
export function decodeStats(reply: Reply | undefined): SessionStats {
  const [messages, flat] = list(reply);
  const sums = new Map<string, number>();
  const fields = list(flat).map(text);
  for (let i = 0; i + 1 < fields.length; i += 2) sums.set(fields[i] ?? "", Number(fields[i + 1]));
  const sum = (name: string): number => sums.get(name) ?? 0;
  const cost = {
    input: sum("cost.input"),
    output: sum("cost.output"),
    cacheRead: sum("cost.cacheRead"),
    cacheWrite: sum("cost.cacheWrite"),
  };
  return {
    messageCount: Number(text(messages)),
    usage: {
      input: sum("input"),
      output: sum("output"),
      cacheRead: sum("cacheRead"),
      cacheWrite: sum("cacheWrite"),
      ...(sums.has("cacheWrite1h") ? { cacheWrite1h: sum("cacheWrite1h") } : {}),
      ...(sums.has("reasoning") ? { reasoning: sum("reasoning") } : {}),
      totalTokens: sum("totalTokens"),
      cost: { ...cost, total: sum("cost.total") },
    },
  };
}

/** With a length before each part, so that what stands in one can't pass for the beginning of the next. */
function hashOf(parts: readonly string[]): string {
  let whole = "";
  for (const part of parts) whole += `${part.length}:${part}`;
  return hash("sha256", whole).slice(0, HASH_LENGTH);
}

function tooLarge(reason: string, what: string, limit: number): HarnessError {
  const metadata = { limitBytes: String(limit) };
  return new HarnessError(Code.InvalidArgument, reason, `${what}: the session takes at most ${limit}; shorten it`, { metadata });
}
