import { copyFile, readFile, rename, rm, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { ConfigError } from "@serverless-harness/kit/env";
import { temporaryDirectory } from "@serverless-harness/kit/testing";
import { expect, onTestFinished, test } from "vitest";
import type { LeafStore } from "../contract/leaf-store.ts";
import { openLeafStore } from "../index.ts";
import { claim, delta, follow, refused, submit } from "../testing/build.ts";

interface Opened {
  readonly store: LeafStore;
  readonly path: string;
}

async function opened(path?: string): Promise<Opened> {
  const where = path ?? join(await temporaryDirectory(), "leaf.db");
  const store = await openLeafStore(`sqlite:${where}`);
  onTestFinished(() => store.close());
  return { store, path: where };
}

/** What may happen to the file of a store, from outside. */
const ACCIDENTS: Readonly<Record<string, readonly [happen: (path: string) => Promise<void>, atOpen: string]>> = {
  "was deleted": [(path) => rm(path), "was deleted"],
  "was replaced by another file": [
    async (path) => {
      const other = await opened();
      await submit(other.store);
      await other.store.close();
      await rename(other.path, path);
    },
    "was replaced by another one",
  ],
  "was cut short": [(path) => truncate(path, 0), "was emptied"],
};

test.each(Object.entries(ACCIDENTS))(
  "a store whose database %s under a running process takes nothing more and says so, to writers, readers and followers",
  async (what, [happen]) => {
    const { store, path } = await opened();
    const { leafId } = await submit(store);
    const held = await claim(store);
    const following = follow(store, leafId);
    following.catch(() => undefined);
    await happen(path);
    for (const call of [submit(store), store.append(held, [delta("x")]), store.get(leafId), store.backlog(), following]) {
      await expect(call).rejects.toMatchObject({ reason: "store_lost", message: expect.stringContaining(what) });
    }
  },
);

test.each(Object.entries(ACCIDENTS))("no process begins another store where the database %s", async (_what, [happen, atOpen]) => {
  const { store, path } = await opened();
  await submit(store);
  await store.close();
  await happen(path);
  for (let time = 0; time < 2; time++) {
    const error = await openLeafStore(`sqlite:${path}`).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(ConfigError);
    expect(String(error)).toContain(`${path} ${atOpen}`);
    expect(String(error)).toContain(`remove ${path}-id as well`);
  }
  await rm(`${path}-id`);
  await rm(path, { force: true });
  expect((await (await opened(path)).store.list({ limit: 1 })).leaves).toEqual([]);
});

test("a database that another one was written over, in the same file, is noticed", async () => {
  const { store, path } = await opened();
  const { leafId } = await submit(store);
  const other = await opened();
  for (let i = 0; i < 50; i++) await submit(other.store, { prompt: "x".repeat(10_000) });
  await other.store.close();
  await copyFile(other.path, path);
  // The header is looked at once a second.
  await new Promise((resolve) => setTimeout(resolve, 1100));
  await refused(store.get(leafId), "store_lost");
});

test.each(["-wal", "-shm"])(
  "a database whose %s file is deleted under a running process takes nothing more and says so, though another process makes a new one",
  async (suffix) => {
    const { store, path } = await opened();
    const { leafId } = await submit(store);
    await rename(`${path}${suffix}`, `${path}.away`);
    const lost = { reason: "store_lost", message: expect.stringContaining(`has lost its file ${path}${suffix}`) };
    // The index is looked at once a second, after a call.
    await expect.poll(() => submit(store).catch((error: unknown) => error), { timeout: 20_000 }).toMatchObject(lost);
    await writeFile(`${path}${suffix}`, "");
    await expect(store.get(leafId)).rejects.toMatchObject(lost);
    await rename(`${path}.away`, `${path}${suffix}`);
    expect((await store.get(leafId))?.leafId).toBe(leafId);
  },
);

test("a database that is moved back is used again, by who had it open and by who opens it", async () => {
  const { store, path } = await opened();
  const { leafId } = await submit(store);
  await rename(path, `${path}.away`);
  await refused(store.get(leafId), "store_lost");
  await rename(`${path}.away`, path);
  expect((await store.get(leafId))?.leafId).toBe(leafId);
  expect((await (await opened(path)).store.get(leafId))?.leafId).toBe(leafId);
});

test("a backup of the same store may be put in its place, and a database without an id gets one", async () => {
  const { store, path } = await opened();
  const { leafId } = await submit(store);
  await store.close();
  await copyFile(path, `${path}.backup`);
  await rm(path);
  await rename(`${path}.backup`, path);
  expect((await (await opened(path)).store.get(leafId))?.leafId).toBe(leafId);

  const old = join(await temporaryDirectory(), "leaf.db");
  new DatabaseSync(old).close();
  await writeFile(old, await readFile(path));
  const db = new DatabaseSync(old);
  db.exec("PRAGMA application_id = 0");
  db.close();
  expect((await (await opened(old)).store.get(leafId))?.leafId).toBe(leafId);
  expect(Number(await readFile(`${old}-id`, "utf8"))).toBeGreaterThan(0);
});
