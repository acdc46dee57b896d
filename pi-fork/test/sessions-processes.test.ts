import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as delay } from "node:timers/promises";
import { BACKGROUND_CONTEXT, type Session } from "@earendil-works/pi-agent-core";
import { storeDirectory } from "@serverless-harness/kit/testing";
import { type LeafStore, openLeafStore } from "@serverless-harness/session";
import { claim, claimWhenReady, delta, done, logOf, submit, words } from "@serverless-harness/session/testing";
import { Child } from "@serverless-harness/session/testing/child";
import { redisServer } from "@serverless-harness/session/testing/redis-vitest";
import { describe, expect, onTestFinished, test } from "vitest";
import type { PiSessions } from "../sessions/contract/sessions.ts";
import { openPiSessions } from "../sessions/open.ts";

const OWNER = new URL("fixtures/session-owner.ts", import.meta.url);

interface Place {
  readonly url: string;
  readonly assertWhole: () => void;
}

const server = redisServer();

const places: Readonly<Record<string, () => Promise<Place>>> = {
  SQLite: async () => {
    const path = join(await storeDirectory(), "leaf.db");
    const assertWhole = (): void => {
      const db = new DatabaseSync(path);
      expect(db.prepare("PRAGMA integrity_check").all()).toEqual([{ integrity_check: "ok" }]);
      db.close();
    };
    return { url: `sqlite:${path}`, assertWhole };
  },
  Redis: async () => ({ url: server().freshUrl(), assertWhole: () => undefined }),
};

interface Opened extends Place {
  readonly store: LeafStore;
  readonly sessions: PiSessions;
}

async function openPlace(place: Place): Promise<Opened> {
  const store = await openLeafStore(place.url);
  const sessions = openPiSessions(place.url);
  onTestFinished(async () => {
    await sessions.close();
    await store.close();
  });
  return { ...place, store, sessions };
}

async function notes(session: Session): Promise<unknown[]> {
  const entries = await session.findEntries({ order: "asc", type: "custom" }, BACKGROUND_CONTEXT);
  return entries.map((entry) => (entry.type === "custom" ? entry.data : undefined));
}

async function write(session: Session, text: string): Promise<void> {
  const main = await session.branch("main", BACKGROUND_CONTEXT);
  await main?.appendCustomEntry("note", text, BACKGROUND_CONTEXT);
}

describe.each(Object.entries(places))("owners of sessions on %s", (_, place) => {
  const freshStore = async (): Promise<Opened> => openPlace(await place());

  test("an owner that was stopped and goes on after a takeover is refused everywhere and harms nobody", async () => {
    const { url, store, sessions } = await freshStore();
    const { leafId } = await submit(store, { sessionId: "s" });
    const old = new Child(OWNER, url, "step", "1");
    await old.printed(1);
    const [first = ""] = old.lines;
    expect(first).toMatch(/^owner \d+$/);
    // Its lease has ended, but nobody took the session: it may go on.
    old.tell("write");
    await old.printed(2);
    old.process.kill("SIGSTOP");
    // It will find these as soon as it runs again.
    old.tell("write");
    old.tell("write");
    const held = await claimWhenReady(store, "new");
    expect(held.takeover).toBe(true);
    expect(held.fence.epoch).toBeGreaterThan(BigInt(first.slice("owner ".length)));
    const session = await sessions.open(held.fence);
    await write(session, "new 0");
    await store.append(held, [delta("new 0")]);
    old.process.kill("SIGCONT");
    await old.printed(4);
    await write(session, "new 1");
    old.tell("write");
    await old.printed(5);
    await store.finish(held, done("new"), []);
    old.tell("write");
    await old.printed(6);
    const refused = "stale_epoch stale_epoch";
    expect(old.lines).toEqual([first, "ok ok", refused, refused, refused, refused]);
    expect(await notes(session)).toEqual(["old 0", "old 1", "new 0", "new 1"]);
    expect(words(await logOf(store, leafId))).toEqual(["queued", "running", "old 1", "running", "new 0", "done"]);
  });

  test("a writer that is killed under load leaves a sound database with all that it had heard of", async () => {
    const { url, store, sessions, assertWhole } = await freshStore();
    let heard = 0;
    for (let round = 0; round < 5; round++) {
      const { leafId } = await submit(store, { sessionId: `s${round}` });
      const writer = new Child(OWNER, url, "load");
      await writer.printed(20);
      await delay(Math.random() * 30);
      await writer.kill();
      assertWhole();
      heard = writer.lines.length;
      expect(await store.releaseWorker("old", "writer died")).toBe(1);
      const held = await claim(store);
      const session = await sessions.open(held.fence);
      // One more of each may be there that it did not live to tell of.
      const texts = await notes(session);
      expect([heard, heard + 1]).toContain(texts.length);
      expect(texts).toEqual(texts.map((_, i) => `old ${i}`));
      const events = words(await logOf(store, leafId)).filter((word) => word.startsWith("old"));
      expect([heard, heard + 1]).toContain(events.length);
      await write(session, "new");
      await store.finish(held, done(""), []);
      expect((await notes(session)).at(-1)).toBe("new");
    }
  });

  test("processes that open one new session at the same time get the same one, except for the stale", async () => {
    const { url, store, sessions } = await freshStore();
    await submit(store, { sessionId: "s" });
    const old = await claim(store);
    await store.release(old, "");
    const { fence } = await claim(store);
    const children = Array.from({ length: 4 }, () => new Child(OWNER, url, "open"));
    await Promise.all(children.map((child) => child.printed(1)));
    children.forEach((child, i) => {
      child.tell(JSON.stringify({ ...(i === 0 ? old.fence : fence), epoch: `${i === 0 ? old.fence.epoch : fence.epoch}` }));
    });
    await Promise.all(children.map((child) => child.printed(2)));
    expect(children.map((child) => child.lines[1])).toEqual(["stale_epoch", "ok", "ok", "ok"]);
    expect((await sessions.open(fence)).metadata.id).toBe("acme/s");
  });
});
