import { statSync } from "node:fs";
import { rm } from "node:fs/promises";
import { expect, onTestFinished, test } from "vitest";
import { openSqliteLeafStore, type SqliteLeafStore } from "../sqlite/store.ts";
import { claim, delta, done, follow, LONG_LEASE_MS, NEVER, submit, words } from "../testing/build.ts";
import { sqliteFixture } from "./fixture.ts";

/** Without `fallbackMs`, listeners never look by themselves. */
async function freshStore(fallbackMs = 2 ** 31 - 1): Promise<{ path: string; store: SqliteLeafStore }> {
  const fixture = await sqliteFixture();
  onTestFinished(() => fixture[Symbol.asyncDispose]());
  const store = openSqliteLeafStore(fixture.path, { fallbackMs });
  onTestFinished(() => store.close());
  return { path: fixture.path, store };
}

test("the database is watched only while somebody listens", async () => {
  const { store } = await freshStore();
  const { leafId } = await submit(store);
  const held = await claim(store);
  expect(store.watching).toBe(false);
  const abort = new AbortController();
  const [first, second] = [follow(store, leafId), follow(store, leafId)];
  const wait = store.waitForWork(LONG_LEASE_MS, abort.signal);
  expect(store.watching).toBe(true);
  await store.finish(held, done(""), []);
  await Promise.all([first, second]);
  expect(store.watching).toBe(true);
  abort.abort();
  await wait;
  expect(store.watching).toBe(false);
});

test("commits of another handle are heard by their signal alone", async () => {
  const { path, store } = await freshStore();
  const other = openSqliteLeafStore(path);
  onTestFinished(() => other.close());
  const { leafId } = await submit(store);
  const held = await claim(store);
  const waiting = store.waitForWork(LONG_LEASE_MS, NEVER);
  const following = follow(store, leafId);
  for (let i = 0; i < 20; i++) {
    await other.append(held, [delta("a")]);
    // Lets the watch report each commit, instead of all of them at once.
    await new Promise(setImmediate);
  }
  await other.finish(held, done(""), []);
  expect((await following).length).toBe(23);
  await submit(other);
  await waiting;
});

test("a follower and a waiting worker that miss the signal find the commit by themselves", async () => {
  const { path, store } = await freshStore(20);
  const { leafId } = await submit(store);
  const held = await claim(store);
  const following = follow(store, leafId);
  const waiting = store.waitForWork(LONG_LEASE_MS, NEVER);
  // Whoever opens from now on signals on another file of that name, which nobody watches.
  await rm(`${path}-signal`);
  const other = openSqliteLeafStore(path);
  onTestFinished(() => other.close());
  await other.append(held, [delta("unheard")]);
  await submit(other);
  await waiting;
  await other.finish(held, done(""), []);
  expect(words(await following)).toEqual(["queued", "running", "unheard", "done"]);
});

test("the signal file never grows", async () => {
  const { path, store } = await freshStore();
  for (let i = 0; i < 50; i++) await submit(store);
  expect(statSync(`${path}-signal`).size).toBe(1);
});
