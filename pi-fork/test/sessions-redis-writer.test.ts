import { deleteList, insertEntry, pendingAssistantFrames, pendingToolOutput, setValue, type Write } from "@earendil-works/pi-agent-core";
import { claimWhenReady } from "@serverless-harness/session/testing";
import { RedisServer } from "@serverless-harness/session/testing/redis";
import { redisServer } from "@serverless-harness/session/testing/redis-vitest";
import { describe, expect, onTestFinished, test } from "vitest";
import { isPiece } from "../sessions/redis/writer.ts";
import { ownedStorage, piece, pieces } from "./fixtures/owned-storage.ts";
import { roundTrips } from "./fixtures/round-trips.ts";
import { Valve } from "./fixtures/valve.ts";

const server = redisServer();
const reason = (name: string) => expect.objectContaining({ reason: name });
const note = (id: string, parentId: string | null = null): Write => insertEntry({ id, parentId, type: "custom", customType: "note" });
const texts = (count: number, from = 0) => Array.from({ length: count }, (_, i) => `${from + i}`);

test("nothing but one piece of a streamed answer is acknowledged early", () => {
  const [one = note("none")] = piece("a");
  expect(isPiece([one])).toBe(true);
  expect(isPiece([])).toBe(false);
  expect(isPiece([one, one])).toBe(false);
  expect(isPiece([one, note("e")])).toBe(false);
  expect(isPiece([deleteList(pendingAssistantFrames("op", "answer"))])).toBe(false);
  expect(isPiece([setValue(pendingToolOutput("op", "call"), { content: [] } as never)])).toBe(false);
  expect(isPiece([note("e")])).toBe(false);
});

describe("pieces of a streamed answer", () => {
  test("cost few round trips, have numbers of their own, and stand before the commit that follows them", async () => {
    const { storage } = await ownedStorage(server().freshUrl());
    const results: { seqs: number[]; stats: unknown }[] = [];
    const begunMs = performance.now();
    const asked = await roundTrips(server().port, async () => {
      for (const text of texts(160)) results.push(await storage.commit(piece(text)));
      results.push(await storage.commit([note("e1"), note("e2", "e1")]));
    });
    // One to ask where the session stands, some to send a script, and at most one in 100 ms.
    expect(asked.length).toBeLessThan(20 + (performance.now() - begunMs) / 100);
    expect(results.flatMap(({ seqs }) => seqs)).toEqual(Array.from({ length: 162 }, (_, i) => i + 1));
    expect(results[0]?.stats).toEqual(results.at(-1)?.stats);
    expect(await pieces(storage)).toEqual(texts(160));
    expect((await storage.scanEntries({})).map(({ id, seq }) => [id, seq])).toEqual([
      ["e1", 161],
      ["e2", 162],
    ]);
    await storage.close();
  });

  test("can be read as soon as they are acknowledged, and are there when the storage was closed", async () => {
    const { storage, reopen } = await ownedStorage(server().freshUrl());
    await storage.commit(piece("0"));
    expect(await pieces(storage)).toEqual(["0"]);
    await storage.commit(piece("1"));
    await storage.close();
    expect(await pieces(reopen())).toEqual(["0", "1"]);
  });

  test("are written by themselves when nothing follows them", async () => {
    const { storage, reopen } = await ownedStorage(server().freshUrl());
    const other = reopen();
    await storage.commit(piece("0"));
    while ((await pieces(other)).length === 0) await new Promise((resolve) => setImmediate(resolve));
    await storage.close();
  });

  test("are not kept back in any number", async () => {
    const { storage, reopen } = await ownedStorage(server().freshUrl());
    for (const text of texts(1100)) await storage.commit(piece(text));
    expect((await pieces(reopen())).length).toBeGreaterThanOrEqual(1000);
    await storage.close();
    expect(await pieces(reopen())).toEqual(texts(1100));
  });

  test("of an owner that was replaced are refused by whatever is asked next, and nothing of them is written", async () => {
    const { store, held, reopen } = await ownedStorage(server().freshUrl());
    const [byCommit, byRead, byClose] = [reopen(held), reopen(held), reopen(held)];
    for (const storage of [byCommit, byRead, byClose]) await storage.commit(piece("old"));
    await store.release(held, "");
    const owner = reopen(await claimWhenReady(store));
    await expect(byCommit.commit([note("e")])).rejects.toEqual(reason("stale_epoch"));
    await expect(byRead.getStats()).rejects.toEqual(reason("stale_epoch"));
    await expect(byClose.close()).rejects.toEqual(reason("stale_epoch"));
    // It stays so.
    await expect(byCommit.close()).rejects.toEqual(reason("stale_epoch"));
    expect(await pieces(owner)).toEqual([]);
    expect(await owner.scanEntries({})).toEqual([]);
    await expect(byRead.close()).rejects.toEqual(reason("stale_epoch"));
  });

  test("are refused where another storage of the same owner wrote meanwhile: its numbers are taken", async () => {
    const { held, reopen } = await ownedStorage(server().freshUrl());
    const [one, two] = [reopen(held), reopen(held)];
    await one.commit(piece("one"));
    await two.commit([note("e")]);
    await expect(one.close()).rejects.toEqual(reason("session_conflict"));
    expect(await pieces(two)).toEqual([]);
    await two.close();
  });

  test("survive a commit behind them that is refused", async () => {
    const { storage } = await ownedStorage(server().freshUrl());
    await storage.commit(piece("0"));
    await expect(storage.commit([note("e", "nowhere")])).rejects.toThrow("MISSING_PARENT");
    await storage.commit(piece("1"));
    await storage.commit([note("e")]);
    expect(await pieces(storage)).toEqual(["0", "1"]);
    expect((await storage.scanEntries({}))[0]?.seq).toBe(3);
    await storage.close();
  });

  test.each(["requests", "answers"] as const)("are written once, in order, where the connection is cut and %s were lost", async (what) => {
    await using own = await RedisServer.startInMemory();
    await using valve = await Valve.to(own.port);
    const { storage, reopen } = await ownedStorage(own.url(), `redis://127.0.0.1:${valve.port}`);
    for (const text of texts(5)) await storage.commit(piece(text));
    const lost = valve.hold(what);
    const committed = storage.commit([note("e")]);
    await lost;
    valve.open();
    expect((await committed).firstSeq).toBe(6);
    for (const text of texts(5, 5)) await storage.commit(piece(text));
    await storage.close();
    expect(await pieces(reopen())).toEqual(texts(10));
  });

  test("that may have been written or not, when Redis did not answer at all, are neither lost nor doubled", async () => {
    await using own = await RedisServer.startInMemory();
    const interrupted = async (what: "requests" | "answers"): Promise<void> => {
      await using valve = await Valve.to(own.port);
      const { storage, reopen } = await ownedStorage(own.url(`prefix=${what}`), `redis://127.0.0.1:${valve.port}?prefix=${what}`);
      await storage.commit([note("e")]);
      for (const text of texts(3)) await storage.commit(piece(text));
      const lost = valve.hold(what);
      const read = storage.getStats();
      read.catch(() => undefined);
      await lost;
      await expect(read).rejects.toEqual(reason("store_unreachable"));
      valve.open();
      await storage.commit(piece("3"));
      await storage.close();
      const other = reopen();
      expect(await pieces(other)).toEqual(texts(4));
      expect((await other.readList(pendingAssistantFrames("op", "answer"), undefined)).map(({ seq }) => seq)).toEqual([2, 3, 4, 5]);
    };
    await Promise.all([interrupted("requests"), interrupted("answers")]);
  });
});

test("a storage without an owner acknowledges nothing early", async () => {
  const { reopen } = await ownedStorage(server().freshUrl());
  const [one, two] = [reopen(), reopen()];
  onTestFinished(() => one.close());
  await one.commit(piece("one"));
  await two.commit(piece("two"));
  expect(await pieces(two)).toEqual(["one", "two"]);
});
