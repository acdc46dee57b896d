import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { BACKGROUND_CONTEXT, insertEntry, type Session, type Write } from "@earendil-works/pi-agent-core";
import { storeDirectory } from "@serverless-harness/kit/testing";
import { LeafState } from "@serverless-harness/proto/leaf";
import { type LeafStore, openLeafStore } from "@serverless-harness/session";
import { assertGapFree, claim, delta, done, follow, logOf, submit, usage, words } from "@serverless-harness/session/testing";
import { Child } from "@serverless-harness/session/testing/child";
import { redisServer } from "@serverless-harness/session/testing/redis-vitest";
import { describe, expect, onTestFinished, test } from "vitest";
import type { PiSessions } from "../sessions/contract/sessions.ts";
import { openPiSessions } from "../sessions/open.ts";
import { EventQueue } from "./fixtures/event-queue.ts";
import { roundTrips } from "./fixtures/round-trips.ts";
import { Valve } from "./fixtures/valve.ts";

const RIDER = new URL("fixtures/session-rider.ts", import.meta.url);
const server = redisServer();
const places: Readonly<Record<string, () => Promise<string>>> = {
  SQLite: async () => `sqlite:${join(await storeDirectory(), "leaf.db")}`,
  Redis: async () => server().freshUrl(),
};
const stale = expect.objectContaining({ reason: "stale_epoch" });

async function open(url: string): Promise<{ store: LeafStore; sessions: PiSessions }> {
  const store = await openLeafStore(url);
  const sessions = openPiSessions(url);
  onTestFinished(async () => {
    await sessions.close().catch(() => undefined);
    await store.close();
  });
  return { store, sessions };
}

const note = (id: string, parentId: string | null = null): Write => insertEntry({ id, parentId, type: "custom", customType: "note" });
const commit = (session: Session, ...writes: Write[]) =>
  session.mutate((mutator) => mutator.commit(writes, BACKGROUND_CONTEXT), BACKGROUND_CONTEXT);

async function numbers(session: Session): Promise<string[]> {
  const entries = await session.findEntries({ order: "asc", type: "custom" }, BACKGROUND_CONTEXT);
  return entries.map((entry) => (entry.type === "custom" ? String(entry.data) : ""));
}

describe.each(Object.entries(places))("a leaf's events that go with a commit of its session on %s", (_, place) => {
  test("are on its log with it, in order, each key once, and reach followers", async () => {
    const { store, sessions } = await open(await place());
    const { leafId } = await submit(store, { sessionId: "s" });
    const held = await claim(store);
    const seen = follow(store, leafId);
    const queue = new EventQueue(leafId);
    const session = await sessions.open(held.fence, queue);
    queue.ready.push(delta("a", "key"), delta("again", "key"), usage(7));
    await commit(session, note("e1"));
    await store.append(held, [delta("alone")]);
    queue.ready.push(delta("again", "key"), delta("b"));
    await commit(session, note("e2", "e1"));
    await commit(session, note("e3", "e2"));
    await store.finish(held, done(""), []);
    const events = await seen;
    expect(words(events)).toEqual(["queued", "running", "a", "usage", "alone", "b", "done"]);
    assertGapFree(events);
    expect((await store.get(leafId))?.usage?.modelCalls).toBe(7);
    expect(queue.outcomes).toEqual(["landed", "landed"]);
  });

  test("come back where the commit is refused, and are not on the log", async () => {
    const { store, sessions } = await open(await place());
    const { leafId } = await submit(store, { sessionId: "s" });
    const held = await claim(store);
    const queue = new EventQueue(leafId);
    const session = await sessions.open(held.fence, queue);
    queue.ready.push(delta("a"));
    await expect(commit(session, note("e", "nowhere"))).rejects.toThrow();
    expect([queue.outcomes.at(-1), queue.ready.length]).toEqual(["missed", 1]);
    expect(words(await logOf(store, leafId))).toEqual(["queued", "running"]);
    await commit(session, note("e"));
    expect(words(await logOf(store, leafId))).toEqual(["queued", "running", "a"]);
  });

  test("are refused, and the commit with them, where the leaf was handed back or has another owner", async () => {
    const { store, sessions } = await open(await place());
    const { leafId } = await submit(store, { sessionId: "s" });
    const held = await claim(store);
    const queue = new EventQueue(leafId);
    const session = await sessions.open(held.fence, queue);
    await store.release(held, "");
    queue.ready.push(delta("a"));
    await expect(commit(session, note("e1"))).rejects.toEqual(stale);
    const next = await claim(store);
    await expect(commit(session, note("e2"))).rejects.toEqual(stale);
    expect(words(await logOf(store, leafId))).toEqual(["queued", "running", "suspended", "running"]);
    expect(await numbers(await sessions.open(next.fence))).toEqual([]);
    expect((await store.get(leafId))?.state).toBe(LeafState.RUNNING);
  });

  test("are there with it or both are not, whenever their process is killed, and its successor doubles none", async () => {
    const url = await place();
    const { store, sessions } = await open(url);
    for (let round = 0; round < 4; round++) {
      const { leafId } = await submit(store, { sessionId: `s${round}` });
      const rider = new Child(RIDER, url);
      await rider.printed(10);
      await delay(Math.random() * 20);
      await rider.kill();
      await takeOver(store, sessions, leafId);
    }
  });
});

/** What the successor of a killed process does: tell again what the session's log holds, and go on. */
async function takeOver(store: LeafStore, sessions: PiSessions, leafId: string): Promise<string[]> {
  const told = words(await logOf(store, leafId)).slice(2);
  await store.releaseWorker("old", "killed");
  const held = await claim(store);
  const queue = new EventQueue(leafId);
  const session = await sessions.open(held.fence, queue);
  const entries = await numbers(session);
  // An entry's event goes with the next entry: there is exactly one that was not yet told.
  expect(told).toEqual(entries.slice(0, -1));
  queue.ready.push(...entries.map((entry) => delta(entry, `entry:${entry}`)), delta("end"));
  const main = await session.branch("main", BACKGROUND_CONTEXT);
  await main?.appendCustomEntry("note", "last", BACKGROUND_CONTEXT);
  await store.finish(held, done(""), []);
  const log = await logOf(store, leafId);
  assertGapFree(log);
  expect(words(log).filter((word) => /^\d+$/.test(word))).toEqual(entries);
  return entries;
}

test.each(["requests", "answers"] as const)("a process killed when the %s of its commit were lost leaves both logs alike", async (what) => {
  const url = server().freshUrl();
  const { store, sessions } = await open(url);
  await using valve = await Valve.to(server().port);
  const { leafId } = await submit(store, { sessionId: "s" });
  const rider = new Child(RIDER, url.replace(`:${server().port}`, `:${valve.port}`));
  await rider.printed(5);
  await valve.hold(what);
  await rider.kill();
  const entries = await takeOver(store, sessions, leafId);
  // The commit under way, if it was one, was made or was not.
  expect([rider.lines.length, rider.lines.length + 1]).toContain(entries.length);
});

test("events cost no round trip of their own on Redis", async () => {
  const { store, sessions } = await open(server().freshUrl());
  const { leafId } = await submit(store, { sessionId: "s" });
  const held = await claim(store);
  const queue = new EventQueue(leafId);
  const session = await sessions.open(held.fence, queue);
  await commit(session, note("e0"));
  const asked = await roundTrips(server().port, async () => {
    for (let i = 1; i <= 10; i++) {
      queue.ready.push(delta("a"), delta("b"));
      await commit(session, note(`e${i}`, `e${i - 1}`));
    }
  });
  expect(asked.length).toBe(10);
  expect((await logOf(store, leafId)).length).toBe(22);
});
