import { Code } from "@connectrpc/connect";
import { HarnessError } from "@serverless-harness/kit/errors";
import { type Argument, callId, encode, text } from "@serverless-harness/session/redis";
import { type ArchivedWrite, ArchiveReader, malformed } from "../archive/line.ts";
import { encodeEntry } from "./codec.ts";
import type { SessionKeys } from "./session-keys.ts";

/** Writes that one script takes, and about how many bytes. */
const BATCH = 200;
const BATCH_BYTES = 1024 * 1024;

/** Write an archive's lines as a session that is not there yet, and appears with the last of them. */
export async function importLines(keys: SessionKeys, id: string, lines: AsyncIterable<string>): Promise<void> {
  const token = callId();
  await begin(keys, token);
  try {
    await write(keys, id, token, lines);
  } catch (error) {
    await begin(keys, token, token).catch(() => undefined);
    throw error;
  }
}

/** Make room for a session under a token; with `only`, take back what was written under that one. */
export async function begin(keys: SessionKeys, token: string, only = ""): Promise<void> {
  while (text(await keys.write("begin", token, only)) === "1");
}

async function write(keys: SessionKeys, id: string, token: string, lines: AsyncIterable<string>): Promise<void> {
  const reader = new ArchiveReader();
  const source = lines[Symbol.asyncIterator]();
  const first = await source.next();
  const header = reader.header(first.done ? undefined : first.value);
  let batch: Argument[] = [];
  let count = 0;
  let bytes = 0;
  let seq = 0;
  const lineOf = new Map<string, number>();
  const send = async (): Promise<void> => {
    await named(keys.write("restore", token, callId(), ...batch), lineOf);
    [batch, count, bytes] = [[], 0, 0];
    lineOf.clear();
  };
  for (let next = await source.next(); !next.done; next = await source.next()) {
    for (const write of reader.writes(next.value)) {
      if ("id" in write) lineOf.set(write.id, reader.line);
      batch.push(...encodeArchived(write));
      seq = write.seq;
      count++;
    }
    bytes += next.value.length;
    if (count >= BATCH || bytes >= BATCH_BYTES) await send();
  }
  if (count > 0) await send();
  const nextSeq = Math.max(seq + 1, header.nextSeq ?? 1);
  await keys.write("create", id, header.createdAt, header.parentSessionId ?? "", nextSeq, token);
}

/** A write as restore.lua takes it: letter, number, three fields, and of an entry four more. */
function encodeArchived(write: ArchivedWrite): Argument[] {
  if (write.kind === "entry") {
    const { kind: _, ...entry } = write;
    const [id = "", parent = "", type = "", custom = "", body = ""] = encodeEntry(entry, write.timestamp);
    return ["e", write.seq, id, parent, write.timestamp, type, custom, body];
  }
  if (write.kind === "usage") {
    const { kind: _, seq, ...row } = write;
    return ["u", seq, row.id, JSON.stringify(row), ""];
  }
  const [space, key] = [encode(write.namespace), write.kind === "value" ? write.key : encode(write.key)];
  if (write.op === "delete") return [write.kind === "value" ? "d" : "x", write.seq, space, key, ""];
  return [write.op === "set" ? "v" : "l", write.seq, space, key, JSON.stringify(write.value)];
}

/** What the script found wrong, with the line it is on. */
async function named(reply: Promise<unknown>, lineOf: ReadonlyMap<string, number>): Promise<void> {
  try {
    await reply;
  } catch (error) {
    const [, reason, id = ""] =
      /^(DUPLICATE_ID|MISSING_PARENT|OTHER_IMPORT) ?(.*?)(?: script:.*)?$/s.exec(error instanceof Error ? error.message : "") ?? [];
    if (reason === undefined) throw error;
    if (reason === "OTHER_IMPORT")
      throw new HarnessError(Code.Aborted, "session_exists", "somebody else makes this session at the same time");
    const line = lineOf.get(id) ?? 0;
    throw reason === "DUPLICATE_ID"
      ? malformed(line, "id", "is on an earlier line as well")
      : malformed(line, "parentId", "names no entry before it");
  }
}
