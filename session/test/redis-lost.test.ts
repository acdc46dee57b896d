import { Redis } from "ioredis";
import { expect, onTestFinished, test } from "vitest";
import { RedisLeafStore } from "../redis/store.ts";
import { follow, submit } from "../testing/build.ts";
import { redisServer } from "../testing/redis-vitest.ts";
import { addressOf } from "./redis-fixture.ts";

const server = redisServer();

test("a store whose keys were removed under a running process takes nothing more and says so; one that is opened then is another store", async () => {
  const address = addressOf(server().freshUrl("partitions=2"));
  const open = async (): Promise<RedisLeafStore> => {
    const store = await RedisLeafStore.open(address);
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
