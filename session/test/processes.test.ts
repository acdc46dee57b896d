import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as delay } from "node:timers/promises";
import { storeDirectory } from "@serverless-harness/kit/testing";
import { type LeafEvent, LeafState } from "@serverless-harness/proto/leaf";
import { describe, expect, onTestFinished, test } from "vitest";
import { type LeafStore, openLeafStore } from "../index.ts";
import { assertGapFree, claim, done, logOf, specOf, submit, words } from "../testing/build.ts";
import { Child } from "../testing/child.ts";
import { redisServer } from "../testing/redis-vitest.ts";
import { numbered } from "./fixtures/numbered.ts";

const OPENER = new URL("fixtures/opener.ts", import.meta.url);
const SUBMITTER = new URL("fixtures/submitter.ts", import.meta.url);
const WORKER = new URL("fixtures/worker.ts", import.meta.url);

async function logsInOrder(store: LeafStore, leafIds: readonly string[]): Promise<LeafEvent[][]> {
  return Promise.all(leafIds.map((leafId) => logOf(store, leafId)));
}

/** A store's address, and a check that what holds it is whole. */
interface Place {
  readonly url: string;
  readonly assertWhole: () => void;
}

async function sqlitePlace(): Promise<Place> {
  const path = join(await storeDirectory(), "leaf.db");
  const assertWhole = (): void => {
    const db = new DatabaseSync(path);
    expect(db.prepare("PRAGMA integrity_check").all()).toEqual([{ integrity_check: "ok" }]);
    db.close();
  };
  return { url: `sqlite:${path}`, assertWhole };
}

const server = redisServer();

async function open(url: string): Promise<LeafStore> {
  const store = await openLeafStore(url);
  onTestFinished(() => store.close());
  return store;
}

const places: Readonly<Record<string, () => Promise<Place>>> = {
  SQLite: sqlitePlace,
  Redis: async () => ({ url: server().freshUrl(), assertWhole: () => undefined }),
};

describe.each(Object.entries(places))("processes on %s", (_, place) => {
  test("four processes that claim at once finish every leaf exactly once, each session in its order", async () => {
    const { url } = await place();
    const store = await open(url);
    const leaves: string[] = [];
    const bySession = new Map<string, string[]>();
    for (let i = 0; i < 800; i++) {
      const sessionId = `s${i % 37}`;
      const { leafId } = await submit(store, { sessionId });
      leaves.push(leafId);
      bySession.set(sessionId, [...(bySession.get(sessionId) ?? []), leafId]);
    }
    const workers = ["a", "b", "c", "d"].map((name) => new Child(WORKER, url, name));
    await Promise.all(workers.map((worker) => worker.ended));
    const finished = workers.flatMap((worker) => worker.lines.filter((line) => line.startsWith("finished ")));
    expect(workers.map((worker) => worker.lines.at(-1))).toEqual(["idle", "idle", "idle", "idle"]);
    expect(finished.map((line) => line.slice("finished ".length)).sort()).toEqual(leaves.toSorted());
    for (const ids of bySession.values()) {
      let endOfPrevious = 0n;
      for (const log of await logsInOrder(store, ids)) {
        assertGapFree(log);
        expect(words(log)).toEqual(["queued", "running", expect.stringMatching(/^by [abcd]$/), "bye", "done"]);
        expect(log[1]?.timeMs).toBeGreaterThanOrEqual(endOfPrevious);
        endOfPrevious = log[4]?.timeMs ?? 0n;
      }
    }
    expect(await store.backlog()).toEqual({ ready: 0, running: 0 });
  });

  test("a submitter that is killed at any moment leaves whole leaves, and every one that it heard of", async () => {
    const { url, assertWhole } = await place();
    const store = await open(url);
    let present = 0;
    for (let round = 0; round < 8; round++) {
      const child = new Child(SUBMITTER, url, `${present}`);
      await child.printed(1);
      await delay(Math.random() * 40);
      await child.kill();
      const heard = present + child.lines.length;
      const { leaves } = await store.list({ limit: 1000 });
      leaves.reverse();
      // The last one may have been committed without the child living to tell.
      expect([heard, heard + 1]).toContain(leaves.length);
      expect(leaves.slice(present, heard).map((leaf) => leaf.leafId)).toEqual(child.lines);
      for (let i = present; i < leaves.length; i++) {
        const again = await store.submit({ spec: specOf(numbered(i)), idempotencyKey: `key-${i}` });
        expect(again).toEqual({ leaf: leaves[i], created: false });
        expect((await store.list({ limit: 2, labels: { number: `${i}` } })).leaves).toEqual([leaves[i]]);
        expect(words(await logOf(store, leaves[i]?.leafId ?? ""))).toEqual(["queued"]);
      }
      present = leaves.length;
      expect(await store.backlog()).toEqual({ ready: Math.min(present, 7), running: 0 });
      assertWhole();
    }
  });

  test("a killed worker's leaf goes on in another process, in one log without a double", async () => {
    const { url } = await place();
    const store = await open(url);
    const { leafId } = await submit(store);
    const killed = new Child(WORKER, url, "a", "hold");
    await killed.printed(1);
    await killed.kill();
    expect((await store.get(leafId))?.state).toBe(LeafState.RUNNING);
    expect(await store.releaseWorker("a", "worker died")).toBe(1);
    const next = new Child(WORKER, url, "b");
    await next.ended;
    expect(next.lines).toEqual([`finished ${leafId}`, "idle"]);
    const log = await logOf(store, leafId);
    assertGapFree(log);
    expect(words(log)).toEqual(["queued", "running", "by a", "suspended", "running", "bye", "done"]);
  });

  test("a store whose only process was killed opens again with all that was acknowledged", async () => {
    const { url, assertWhole } = await place();
    const child = new Child(SUBMITTER, url, "0");
    await child.printed(40);
    await child.kill();
    const store = await open(url);
    const ids = (await store.list({ limit: 1000 })).leaves.map((leaf) => leaf.leafId).reverse();
    expect(ids.slice(0, child.lines.length)).toEqual(child.lines);
    await store.finish(await claim(store), done("hi"), []);
    assertWhole();
  });

  test("processes that make one database at the same time all get it", async () => {
    const { url } = await place();
    const children = Array.from({ length: 6 }, () => new Child(OPENER, url));
    await Promise.all(children.map((child) => child.ended));
    expect(children.map((child) => child.lines)).toEqual(children.map(() => ["open"]));
  });
});
