import { Code } from "@connectrpc/connect";
import { list as listAt, type SessionMetadata, value as valueAt } from "@earendil-works/pi-agent-core";
import { HarnessError } from "@serverless-harness/kit/errors";
import type { ArchivedWrite, ArchiveHeader } from "../archive/line.ts";
import type { RedisStorage } from "./storage.ts";

/** Entries, rows and values that are read at once. */
const PAGE = 500;

/** A session's lines, in pages. Throws UNAVAILABLE `session_changed` at the end if somebody wrote meanwhile. */
export async function* exportLines(storage: RedisStorage, metadata: SessionMetadata, nextSeq: string): AsyncGenerator<string> {
  const { id, createdAt, parentSessionId } = metadata;
  const parent = parentSessionId === undefined ? {} : { parentSessionId };
  const header: ArchiveHeader = { v: 4, kind: "header", id, storageVersion: 1, createdAt, cwd: "/", nextSeq: Number(nextSeq), ...parent };
  yield `${JSON.stringify(header)}\n`;
  const lists = (await storage.listNames()).map(({ namespace, key }) => elements(storage, namespace, key));
  for await (const write of inOrder([entries(storage), usage(storage), values(storage), ...lists])) yield `${JSON.stringify(write)}\n`;
  if ((await storage.nextSeq()) === nextSeq) return;
  throw new HarnessError(Code.Unavailable, "session_changed", `session ${id} was written to while it was exported: try again`);
}

async function* entries(storage: RedisStorage): AsyncGenerator<ArchivedWrite> {
  for (let fromSeq = 0; ; ) {
    const page = await storage.scanEntries({ order: "asc", fromSeq, limit: PAGE });
    for (const entry of page) yield { kind: "entry", ...entry };
    if (page.length < PAGE) return;
    fromSeq = (page.at(-1)?.seq ?? 0) + 1;
  }
}

async function* usage(storage: RedisStorage): AsyncGenerator<ArchivedWrite> {
  for (let fromSeq = 0; ; ) {
    const page = await storage.scanUsage({ order: "asc", fromSeq, limit: PAGE });
    for (const row of page) yield { kind: "usage", ...row };
    if (page.length < PAGE) return;
    fromSeq = (page.at(-1)?.seq ?? 0) + 1;
  }
}

/** Values stand by name, so first their numbers are read, then their contents. */
async function* values(storage: RedisStorage): AsyncGenerator<ArchivedWrite> {
  const index = await storage.valueIndex();
  for (let i = 0; i < index.length; i += PAGE) {
    const page = await Promise.all(
      index.slice(i, i + PAGE).map(({ namespace, key }) => storage.getValue(valueAt<unknown>(namespace, key))),
    );
    for (const stored of page) {
      if (stored !== undefined) yield { kind: "value", op: "set", seq: stored.seq, ...addressOf(stored.address), value: stored.value };
    }
  }
}

async function* elements(storage: RedisStorage, namespace: string, key: string): AsyncGenerator<ArchivedWrite> {
  const address = listAt<unknown>(namespace, key);
  for (let cursor = 0; ; ) {
    const page = await storage.readList(address, { limit: PAGE, cursor: { seq: cursor } });
    for (const { seq, value } of page) yield { kind: "list", op: "append", seq, namespace, key, value };
    if (page.length < PAGE) return;
    cursor = page.at(-1)?.seq ?? cursor;
  }
}

function addressOf({ namespace, key }: { namespace: string; key: string }): { namespace: string; key: string } {
  return { namespace, key };
}

/** Merge sources that are in order each. */
async function* inOrder<T extends { readonly seq: number }>(sources: readonly AsyncIterator<T>[]): AsyncGenerator<T> {
  const heads = (await Promise.all(sources.map((source) => source.next()))).map((result, i) => ({ result, source: sources[i] }));
  for (;;) {
    let first: (typeof heads)[number] | undefined;
    for (const head of heads) {
      if (!head.result.done && (first === undefined || first.result.done || head.result.value.seq < first.result.value.seq)) first = head;
    }
    if (first === undefined || first.result.done || first.source === undefined) return;
    yield first.result.value;
    first.result = await first.source.next();
  }
}
