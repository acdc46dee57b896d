import { rm } from "node:fs/promises";
import { join } from "node:path";
import { temporaryDirectory } from "@serverless-harness/kit/testing";
import { Redis } from "ioredis";
import { expect, onTestFinished, test } from "vitest";
import { type LeafStore, openLeafStore } from "../index.ts";
import { openRedisLeafStore } from "../redis/store.ts";
import { follow, submit } from "../testing/build.ts";
import { redisServer } from "../testing/redis-vitest.ts";
import { addressOf } from "./redis-fixture.ts";

const server = redisServer();

test("a store with an id file is not begun again in a Redis that was emptied, or in another one, until the file is gone", async () => {
  const file = join(await temporaryDirectory(), "redis-id");
  const url = server().freshUrl(`partitions=2&id_file=${file}`);
  const open = async (address: string): Promise<LeafStore> => {
    const store = await openLeafStore(address);
    onTestFinished(() => store.close());
    return store;
  };
  const first = await open(url);
  const { leafId } = await submit(first);
  await first.close();
  const again = await open(url);
  expect((await again.get(leafId))?.leafId).toBe(leafId);
  await again.close();

  const other = url.replace(/prefix=[^&]+/, "prefix=other");
  await open(other.replace(/&id_file=.*/, ""));
  const words = (what: string) =>
    new RegExp(`^the leaf store redis://127.0.0.1:\\d+/\\d+\\?prefix=\\S+ ${what}: ${file} tells of .* remove ${file} as well`);
  await expect(open(other)).rejects.toThrow(words("was replaced by another one"));
  const client = new Redis(server().port, "127.0.0.1");
  onTestFinished(() => client.disconnect());
  await client.flushall();
  for (let time = 0; time < 2; time++) await expect(open(url)).rejects.toThrow(words("was emptied"));
  // Nothing is left behind by who was refused.
  expect(await client.dbsize()).toBe(0);
  await rm(file);
  expect((await (await open(url)).list({ limit: 1 })).leaves).toEqual([]);
});

test("a store whose keys were removed under a running process takes nothing more and says so; one that is opened then is another store", async () => {
  const address = addressOf(server().freshUrl("partitions=2"));
  const open = async (): Promise<LeafStore> => {
    const store = await openRedisLeafStore(address);
    onTestFinished(() => store.close());
    return store;
  };
  const store = await open();
  const { leafId } = await submit(store);
  const following = follow(store, leafId);
  following.catch(() => undefined);
  const client = new Redis(server().port, "127.0.0.1");
  onTestFinished(() => client.disconnect());
  await client.flushall();
  await expect(following).rejects.toMatchObject({ reason: "store_lost", message: expect.stringContaining("was emptied") });
  await open();
  // It is looked for once a second, after a call.
  const lost = { reason: "store_lost", message: expect.stringContaining("was replaced by another one") };
  await expect.poll(() => store.backlog().catch((error: unknown) => error), { timeout: 20_000 }).toMatchObject(lost);
  await expect(submit(store)).rejects.toMatchObject(lost);
});
