import { Code } from "@connectrpc/connect";
import type { SessionMetadata } from "@earendil-works/pi-agent-core";
import { HarnessError } from "@serverless-harness/kit/errors";
import { type Database, text } from "@serverless-harness/session/redis";
import { EXPIRED_AT_ONCE, type Expiry, writeArchive } from "../archive/file.ts";
import { exportLines } from "./export.ts";
import { importLines } from "./import.ts";
import { RedisSessionRepo } from "./repo.ts";
import { idleNames, nameOfId, SessionKeys } from "./session-keys.ts";
import { RedisStorage } from "./storage.ts";

/** A session's lines. Throws NOT_FOUND `session_not_found`. */
export async function* exportSession(database: Database, id: string): AsyncGenerator<string> {
  const { metadata, storage, nextSeq } = await find(database, id);
  if (metadata === undefined) throw new HarnessError(Code.NotFound, "session_not_found", `there is no session ${id}`);
  yield* exportLines(storage, metadata, nextSeq);
}

/** Make a session of an archive's lines. Throws ALREADY_EXISTS `session_exists`. */
export async function importSession(database: Database, id: string, lines: AsyncIterable<string>): Promise<void> {
  try {
    await importLines(new SessionKeys(database, nameOfId(id), undefined), id, lines);
  } catch (error) {
    if (!(error instanceof Error) || !error.message.startsWith("SESSION_EXISTS")) throw error;
    throw new HarnessError(Code.AlreadyExists, "session_exists", `there is a session ${id} already: choose another name`);
  }
}

/** Remove sessions that nobody uses; returns their ids. */
export async function expireSessions(database: Database, expiry: Expiry): Promise<string[]> {
  const { idleMs, limit = EXPIRED_AT_ONCE, archive } = expiry;
  const sinceMs = Date.now() - idleMs;
  const removed: string[] = [];
  for (const partition of database.names.all()) {
    for (let skip = 0, page = await idleNames(database, partition, sinceMs, skip); page.length > 0; ) {
      for (const name of page) {
        if (removed.length >= limit) return removed;
        const id = name === "" ? undefined : await expire(database, name, sinceMs, archive);
        if (id === undefined) skip++;
        else removed.push(id);
      }
      page = await idleNames(database, partition, sinceMs, skip);
    }
  }
  return removed;
}

/** Archive and remove one, unless somebody came to use it meanwhile. */
async function expire(database: Database, name: string, sinceMs: number, archive: string | undefined): Promise<string | undefined> {
  const id = name.split("/").map(decodeURIComponent).join("/");
  const { metadata, storage, nextSeq, keys } = await find(database, id);
  if (metadata === undefined) return undefined;
  if (archive !== undefined) await writeArchive(archive, id, exportLines(storage, metadata, nextSeq));
  let more = text(await keys.read("expire", "", sinceMs, nextSeq));
  if (more === "") return undefined;
  while (more === "1") more = text(await keys.write("delete", ""));
  return id;
}

async function find(
  database: Database,
  id: string,
): Promise<{ metadata: SessionMetadata | undefined; storage: RedisStorage; nextSeq: string; keys: SessionKeys }> {
  const keys = new SessionKeys(database, nameOfId(id), undefined);
  const storage = new RedisStorage(keys, Date.now);
  return { metadata: await new RedisSessionRepo({ database }).find(id), storage, nextSeq: await storage.nextSeq(), keys };
}
