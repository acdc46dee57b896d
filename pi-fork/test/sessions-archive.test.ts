import { mkdtemp, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import {
  appendList,
  BACKGROUND_CONTEXT as CONTEXT,
  insertEntry,
  insertUsage,
  JsonlSessionRepo,
  list,
  type Session,
  setValue,
  value,
} from "@earendil-works/pi-agent-core";
import { NodeExecutionEnv } from "@earendil-works/pi-agent-core/harness/env/nodejs";
import { STORES } from "@serverless-harness/kit/testing/memory";
import { type Claim, type LeafStore, openLeafStore } from "@serverless-harness/session";
import { claim, done, submit } from "@serverless-harness/session/testing";
import { redisServer } from "@serverless-harness/session/testing/redis-vitest";
import { describe, expect, onTestFinished, test } from "vitest";
import { readArchive, writeArchive } from "../sessions/archive/file.ts";
import type { PiSessions } from "../sessions/contract/sessions.ts";
import { openPiSessions } from "../sessions/open.ts";

const server = redisServer();
const reason = (name: string) => expect.objectContaining({ reason: name });
const S = { tenant: "acme", sessionId: "s" };
const COPY = { tenant: "acme", sessionId: "copy" };
const USAGE = {
  input: 1,
  output: 2,
  cacheRead: 3,
  cacheWrite: 4,
  totalTokens: 10,
  cost: { input: 0.1, output: 0.2, cacheRead: 0, cacheWrite: 0, total: 0.3 },
};

async function directory(): Promise<string> {
  const path = await mkdtemp(join(STORES, "pi-archive-"));
  onTestFinished(() => rm(path, { recursive: true, force: true }));
  return path;
}

const places: Readonly<Record<string, () => Promise<string>>> = {
  SQLite: async () => `sqlite:${join(await directory(), "leaf.db")}`,
  Redis: async () => server().freshUrl(),
};

interface Opened {
  readonly store: LeafStore;
  readonly sessions: PiSessions;
  readonly held: Claim;
}

/** A session with some of everything, closed, whose leaf is over. */
async function filled(url: string, entries = 3): Promise<Opened> {
  const store = await openLeafStore(url);
  const sessions = openPiSessions(url);
  onTestFinished(async () => {
    await sessions.close();
    await store.close();
  });
  await submit(store, { sessionId: "s" });
  const held = await claim(store);
  const session = await sessions.open(held.fence);
  const main = await session.createBranch("main", null, CONTEXT);
  for (let i = 0; i < entries; i++) await main.appendCustomEntry("note", { i, text: `ü${i}` }, CONTEXT);
  await main.appendMessage({ role: "user", content: "hi", timestamp: 5 }, CONTEXT);
  const compaction = { type: "compaction" as const, summary: "s", retainedTail: [], tokensBefore: 1, fromHook: false };
  await session.mutate(
    (mutator) =>
      mutator.commit(
        [
          insertEntry({ id: "other", parentId: null, ...compaction }),
          insertUsage({ id: "u", usage: USAGE, adjustment: false, entryId: "other", details: { a: 1 } }),
          setValue(value("app", "k:1"), { v: 1 }),
          appendList(list("app", "l"), "one"),
          appendList(list("app", "l"), "two"),
        ],
        CONTEXT,
      ),
    CONTEXT,
  );
  await session.setName("a name", CONTEXT);
  await session.close(CONTEXT);
  await store.finish(held, done(""), []);
  return { store, sessions, held };
}

/** All that a session holds, without its numbers. */
async function contents(session: Session): Promise<unknown> {
  const entries = await session.findEntries({ order: "asc" }, CONTEXT);
  const branch = await session.branch("main", CONTEXT);
  return {
    entries: entries.map(({ seq: _, ...entry }) => entry),
    tip: await branch?.getTipId(CONTEXT),
    path: (await branch?.findEntries({}, CONTEXT))?.map(({ id }) => id),
    name: await session.getName(CONTEXT),
    value: (await session.getValue(value("app", "k:1"), CONTEXT))?.value,
    list: (await session.readList(list("app", "l"), undefined, CONTEXT)).map((element) => element.value),
    stats: await session.getStats(CONTEXT),
  };
}

async function lines(sessions: PiSessions): Promise<string[]> {
  const all: string[] = [];
  for await (const line of sessions.exportSession(S)) all.push(line);
  return all;
}

async function* of(...all: readonly string[]): AsyncGenerator<string> {
  yield* all;
}

/** Open the session of a name for a new leaf. */
async function openFor({ store, sessions }: Opened, sessionId: string): Promise<Session> {
  await submit(store, { sessionId });
  return sessions.open((await claim(store)).fence);
}

describe.each(Object.entries(places))("an archive of a session on %s", (_, place) => {
  test("is opened by Pi's own backend of files, which finds the same in it", async () => {
    const opened = await filled(await place(), 1100);
    const root = await directory();
    const path = await writeArchive(join(root, "sessions"), "acme/s", opened.sessions.exportSession(S));
    expect(await readdir(join(root, "sessions"))).toEqual(["acme%2Fs.jsonl"]);
    const repo = new JsonlSessionRepo({ fileSystem: new NodeExecutionEnv({ cwd: root }), sessionsRoot: root });
    const [metadata] = await repo.list({}, CONTEXT);
    expect(metadata).toMatchObject({ id: "acme/s", path });
    if (metadata === undefined) throw new Error("Pi does not see the file");
    const theirs = await repo.open(metadata, CONTEXT);
    const ours = await openFor(opened, "s");
    expect(await contents(theirs)).toEqual(await contents(ours));
    expect((await theirs.findEntries({ order: "asc" }, CONTEXT)).map(({ seq }) => seq)).toEqual(
      (await ours.findEntries({ order: "asc" }, CONTEXT)).map(({ seq }) => seq),
    );
    await theirs.close(CONTEXT);
  });

  test.each(Object.entries(places))("is imported as a new session on %s with all that it held, and goes on", async (__, elsewhere) => {
    const from = await filled(await place(), 600);
    const to = await filled(await elsewhere());
    const root = await directory();
    const path = await writeArchive(root, "a", from.sessions.exportSession(S));
    await to.sessions.importSession(COPY, readArchive(path));
    await expect(to.sessions.importSession(COPY, readArchive(path))).rejects.toEqual(reason("session_exists"));
    const copy = await openFor(to, "copy");
    expect(await contents(copy)).toEqual(await contents(await openFor(from, "s")));
    await (await copy.branch("main", CONTEXT))?.appendCustomEntry("note", "more", CONTEXT);
  });

  test("with a wrong line is refused with line and field, and leaves nothing behind", async () => {
    const opened = await filled(await place());
    const [header = "", first = "", ...rest] = await lines(opened.sessions);
    const entry = (fields: object): string =>
      JSON.stringify({ kind: "entry", id: "x", parentId: null, seq: 10_000, timestamp: 1, type: "custom", customType: "c", ...fields });
    const wrong: [string[], string, string][] = [
      [[], "1", "header"],
      [["{"], "1", ""],
      [[header.replace('"v":4', '"v":3')], "1", "v"],
      [[header, first, "nonsense"], "3", ""],
      [[header, first, first], "3", "seq"],
      [[header, entry({ type: "what" })], "2", "type"],
      [[header, entry({ type: "message", message: "hi" })], "2", "message"],
      [[header, entry({ timestamp: "now" })], "2", "timestamp"],
      [[header, entry({ seq: 1, parentId: "nowhere" })], "2", "parentId"],
      [[header, entry({ seq: 1 }), entry({ seq: 2 })], "3", "id"],
      [[header, JSON.stringify({ kind: "value", op: "set", seq: 1, namespace: 1, key: "k", value: 1 })], "2", "namespace"],
      [
        [header, JSON.stringify({ kind: "usage", id: "u", seq: 1, adjustment: false, usage: { ...USAGE, cost: {} } })],
        "2",
        "usage.cost.input",
      ],
    ];
    for (const [given, line, field] of wrong) {
      const refused = expect.objectContaining({ reason: "archive_malformed", metadata: { line, field } });
      await expect(opened.sessions.importSession(COPY, of(...given)), given.at(-1)).rejects.toEqual(refused);
    }
    await opened.sessions.importSession(COPY, of(header, first, ...rest));
    expect((await contents(await openFor(opened, "copy"))) as object).toMatchObject({ name: "a name" });
  });

  test("of a session that is not there is not to be had", async () => {
    const { sessions } = await filled(await place());
    await expect(sessions.exportSession({ tenant: "acme", sessionId: "none" })[Symbol.asyncIterator]().next()).rejects.toEqual(
      reason("session_not_found"),
    );
  });
});

describe.each(Object.entries(places))("sessions that nobody uses, on %s,", (_, place) => {
  test("are archived and removed, and can be imported again", async () => {
    const opened = await filled(await place());
    const archive = await directory();
    expect(await opened.sessions.expireSessions({ idleMs: 3_600_000, archive })).toEqual([]);
    expect(await opened.sessions.expireSessions({ idleMs: -1000, archive, limit: 0 })).toEqual([]);
    const before = await lines(opened.sessions);
    expect(await opened.sessions.expireSessions({ idleMs: -1000, archive })).toEqual(["acme/s"]);
    expect(await opened.sessions.expireSessions({ idleMs: -1000, archive })).toEqual([]);
    await expect(lines(opened.sessions)).rejects.toEqual(reason("session_not_found"));
    expect(await readdir(archive)).toEqual(["acme%2Fs.jsonl"]);
    await opened.sessions.importSession(S, readArchive(join(archive, "acme%2Fs.jsonl")));
    expect((await lines(opened.sessions)).length).toBe(before.length);
  });

  test("stay where a leaf of theirs is not over", async () => {
    const opened = await filled(await place());
    await submit(opened.store, { sessionId: "s" });
    expect(await opened.sessions.expireSessions({ idleMs: -1000 })).toEqual([]);
    const held = await claim(opened.store);
    expect(await opened.sessions.expireSessions({ idleMs: -1000 })).toEqual([]);
    await opened.store.finish(held, done(""), []);
    expect(await opened.sessions.expireSessions({ idleMs: -1000 })).toEqual(["acme/s"]);
  });

  test("stay where they get a leaf while they are archived", async () => {
    const opened = await filled(await place());
    const archive = await directory();
    let ended = false;
    const expiring = opened.sessions.expireSessions({ idleMs: -1000, archive }).finally(() => {
      ended = true;
    });
    // As soon as its file is begun, before it is complete or behind it: the session is either there or was removed before the leaf came.
    while (!ended && (await readdir(archive)).length === 0) await new Promise((resolve) => setImmediate(resolve));
    await submit(opened.store, { sessionId: "s" });
    const there = (await expiring).length === 0;
    const session = await opened.sessions.open((await claim(opened.store)).fence);
    expect((await session.findEntries({}, CONTEXT)).length > 0).toBe(there);
  });
});
