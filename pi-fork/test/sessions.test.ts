import { join } from "node:path";
import { BACKGROUND_CONTEXT, type Session } from "@earendil-works/pi-agent-core";
import { storeDirectory } from "@serverless-harness/kit/testing";
import { type Claim, type LeafStore, openLeafStore } from "@serverless-harness/session";
import { claim, done, submit } from "@serverless-harness/session/testing";
import { redisServer } from "@serverless-harness/session/testing/redis-vitest";
import { describe, expect, onTestFinished, test } from "vitest";
import type { PiSessions } from "../sessions/contract/sessions.ts";
import { openPiSessions } from "../sessions/open.ts";

const stale = expect.objectContaining({ reason: "stale_epoch" });

interface Opened {
  readonly url: string;
  readonly store: LeafStore;
  readonly sessions: PiSessions;
}

const server = redisServer();

const addresses: Readonly<Record<string, () => Promise<string>>> = {
  SQLite: async () => `sqlite:${join(await storeDirectory(), "leaf.db")}`,
  Redis: async () => server().freshUrl(),
};

async function openStore(url: string): Promise<Opened> {
  const sessions = openPiSessions(url);
  const store = await openLeafStore(url);
  onTestFinished(async () => {
    await sessions.close();
    await store.close();
  });
  return { url, store, sessions };
}

async function own(store: LeafStore, sessionId: string): Promise<Claim> {
  await submit(store, { sessionId });
  return claim(store);
}

async function write(session: Session, text: string): Promise<void> {
  const main = (await session.branch("main", BACKGROUND_CONTEXT)) ?? (await session.createBranch("main", null, BACKGROUND_CONTEXT));
  await main.appendCustomEntry("note", text, BACKGROUND_CONTEXT);
}

async function notes(session: Session): Promise<unknown[]> {
  const entries = await session.findEntries({ order: "asc", type: "custom" }, BACKGROUND_CONTEXT);
  return entries.map((entry) => (entry.type === "custom" ? entry.data : undefined));
}

describe.each(Object.entries(addresses))("Pi's sessions on %s", (_, address) => {
  const freshStore = async (): Promise<Opened> => openStore(await address());

  test("a session is made on its first opening and found again by its next owner", async () => {
    const { store, sessions, url } = await freshStore();
    const first = await own(store, "s");
    const session = await sessions.open(first.fence);
    expect(session.metadata.id).toBe("acme/s");
    await write(session, "a");
    await session.close(BACKGROUND_CONTEXT);
    await store.finish(first, done(""), []);
    const second = await own(store, "s");
    const elsewhere = openPiSessions(url);
    const reopened = await elsewhere.open(second.fence);
    expect(reopened.metadata).toEqual(session.metadata);
    await write(reopened, "b");
    expect(await notes(reopened)).toEqual(["a", "b"]);
    await elsewhere.close();
  });

  test("many sessions are open at once, each behind its own fence", async () => {
    const { store, sessions } = await freshStore();
    const owners = [];
    for (let i = 0; i < 20; i++) owners.push(await own(store, `s${i}`));
    const opened = await Promise.all(owners.map(({ fence }) => sessions.open(fence)));
    await Promise.all(opened.map((session, i) => write(session, `first of ${i}`)));
    // Every second one loses its session; the others, on the same connection, don't.
    for (const [i, held] of owners.entries()) if (i % 2 === 0) await store.release(held, "");
    for (let i = 0; i < 20; i += 2) await claim(store);
    const outcomes = await Promise.allSettled(opened.map((session, i) => write(session, `second of ${i}`)));
    for (const [i, outcome] of outcomes.entries()) {
      if (i % 2 === 0) expect(outcome).toEqual({ status: "rejected", reason: stale });
      else expect(outcome.status).toBe("fulfilled");
    }
    const logs = await Promise.all(opened.map(notes));
    logs.forEach((log, i) => {
      expect(log).toEqual(i % 2 === 0 ? [`first of ${i}`] : [`first of ${i}`, `second of ${i}`]);
    });
  });

  test("an owner that lost its session is refused by every kind of write, and the new owner goes on undisturbed", async () => {
    const { store, sessions, url } = await freshStore();
    const old = await own(store, "s");
    const session = await sessions.open(old.fence);
    await write(session, "old");
    await store.release(old, "");
    const { fence } = await claim(store);
    const elsewhere = openPiSessions(url);
    onTestFinished(() => elsewhere.close());
    const next = await elsewhere.open(fence);
    await write(next, "new");
    const writes = [
      write(session, "stale"),
      session.createBranch("other", null, BACKGROUND_CONTEXT),
      session.setName("stale", BACKGROUND_CONTEXT),
      session.mutate(async (mutator) => mutator.commit([], BACKGROUND_CONTEXT), BACKGROUND_CONTEXT),
    ];
    for (const outcome of await Promise.allSettled(writes)) expect(outcome).toEqual({ status: "rejected", reason: stale });
    await write(next, "newer");
    expect(await notes(next)).toEqual(["old", "new", "newer"]);
    expect([await next.getName(BACKGROUND_CONTEXT), await next.branch("other", BACKGROUND_CONTEXT)]).toEqual([undefined, undefined]);
    await session.close(BACKGROUND_CONTEXT);
  });

  test("a stale owner neither opens nor makes a session, and who never claimed does not either", async () => {
    const { store, sessions } = await freshStore();
    const old = await own(store, "s");
    await store.release(old, "");
    const { fence } = await claim(store);
    await expect(sessions.open(old.fence)).rejects.toEqual(stale);
    await expect(sessions.open({ ...fence, epoch: fence.epoch + 1n })).rejects.toEqual(stale);
    await expect(sessions.open({ ...fence, sessionId: "other" })).rejects.toEqual(stale);
    expect(await notes(await sessions.open(fence))).toEqual([]);
  });

  test("one owner has its session open once at a time, and a new owner beside it in the same process", async () => {
    const { store, sessions } = await freshStore();
    const old = await own(store, "s");
    const first = await sessions.open(old.fence);
    await expect(sessions.open(old.fence)).rejects.toEqual(expect.objectContaining({ reason: "session_open" }));
    await first.close(BACKGROUND_CONTEXT);
    const again = await sessions.open(old.fence);
    await store.release(old, "");
    const next = await sessions.open((await claim(store)).fence);
    await write(next, "new");
    await expect(write(again, "stale")).rejects.toEqual(stale);
    expect(await notes(next)).toEqual(["new"]);
  });

  test("closing ends every open session once its writes are done, and opens no more", async () => {
    const { store, sessions, url } = await freshStore();
    const { fence } = await own(store, "s");
    const session = await sessions.open(fence);
    const main = await session.createBranch("main", null, BACKGROUND_CONTEXT);
    const written = main.appendCustomEntry("note", "a", BACKGROUND_CONTEXT);
    await Promise.all([sessions.close(), sessions.close()]);
    await written;
    await expect(write(session, "late")).rejects.toThrow("closed");
    await expect(sessions.open(fence)).rejects.toEqual(expect.objectContaining({ reason: "store_closed" }));
    const elsewhere = openPiSessions(url);
    expect(await notes(await elsewhere.open(fence))).toEqual(["a"]);
    await elsewhere.close();
  });
});

test("an address that is not a database is refused as the leaf store refuses it", () => {
  expect(() => openPiSessions("postgres://host")).toThrow("it must be sqlite:");
  expect(() => openPiSessions("sqlite:/absent/leaf.db")).toThrow("its directory must exist");
});
