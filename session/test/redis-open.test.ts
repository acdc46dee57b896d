import { readdir, readFile } from "node:fs/promises";
import { ConfigError } from "@serverless-harness/kit/env";
import { Redis } from "ioredis";
import { expect, onTestFinished, test } from "vitest";
import { openLeafStore } from "../index.ts";
import { COMMANDS } from "../redis/connect.ts";
import { submit } from "../testing/build.ts";
import { freePort, RedisServer } from "../testing/redis-server.ts";
import { redisCluster, redisServer } from "../testing/redis-vitest.ts";

const server = redisServer("--requirepass", "right", "--user", "guest", "on", ">guest", "~*", "+@read", "+@connection", "+info");
const cluster = redisCluster();

function as(user: string, parameters = "prefix=s1"): string {
  return `redis://${user}@127.0.0.1:${server().port}?${parameters}`;
}

async function failure(url: string): Promise<string> {
  const error = await openLeafStore(url).then(
    (store) => store.close(),
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(ConfigError);
  const message = error instanceof ConfigError ? error.message : "";
  expect(message).not.toMatch(/secret|guest@|right/);
  return message;
}

async function started(...args: string[]): Promise<RedisServer> {
  const own = await RedisServer.start(...args);
  onTestFinished(() => own[Symbol.asyncDispose]());
  return own;
}

test("a store is made at its first opening and found at the next, with the number of partitions that it was made with", async () => {
  const first = await openLeafStore(as(":right", "prefix=made&partitions=3"));
  const { leafId } = await submit(first);
  await first.close();
  const second = await openLeafStore(as(":right", "prefix=made&partitions=7"));
  expect((await second.get(leafId))?.leafId).toBe(leafId);
  await second.close();
  const elsewhere = await openLeafStore(as(":right", "prefix=other"));
  expect(await elsewhere.get(leafId)).toBeUndefined();
  await elsewhere.close();
});

test("a Redis that nobody runs is named with its address", async () => {
  expect(await failure(`redis://:secret@127.0.0.1:${await freePort()}`)).toMatch(/at 127\.0\.0\.1:\d+ can't be reached .*ECONNREFUSED/);
});

test("a Redis that speaks no TLS is not reached by rediss:", async () => {
  expect(await failure(as(":right").replace("redis:", "rediss:"))).toContain("redis: against rediss:");
});

test("a wrong password, none, and a user who may only read are told apart", async () => {
  expect(await failure(as(":secret"))).toContain("refuses the user or the password");
  expect(await failure(`redis://127.0.0.1:${server().port}`)).toContain("asks for a password");
  expect(await failure(as("guest:guest"))).toContain("lets this user not do what a store does");
});

test("a Redis that deletes keys when its memory is full is refused, one that keeps them is not", async () => {
  const evicting = await started("--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru");
  expect(await failure(evicting.url())).toContain("maxmemory-policy allkeys-lru), and so would lose leaves: set noeviction");
  const keeping = await started("--maxmemory", "100mb", "--maxmemory-policy", "noeviction");
  await (await openLeafStore(keeping.url())).close();
});

test("a replica is refused", async () => {
  const replica = await started("--replicaof", `127.0.0.1 ${await freePort()}`);
  expect(await failure(replica.url())).toContain("is a read-only replica: name its primary");
});

test("a Redis without a command that is needed is refused", async () => {
  const lacking = await started("--rename-command", "EVALSHA", "", "--rename-command", "RPUSH", "");
  expect(await failure(lacking.url())).toContain("lacks commands: evalsha, rpush");
});

test("every command that a script calls is looked for when a store is opened", async () => {
  const called = new Set<string>();
  for (const scripts of ["../redis/scripts/", "../../pi-fork/sessions/redis/scripts/"].map((path) => new URL(path, import.meta.url))) {
    for (const name of await readdir(scripts)) {
      const lua = await readFile(new URL(name, scripts), "utf8");
      for (const [, command = ""] of lua.matchAll(/redis\.p?call\('(\w+)'/g)) called.add(command.toLowerCase());
    }
  }
  expect(called.size).toBeGreaterThan(20);
  expect([...called].filter((command) => !COMMANDS.includes(command))).toEqual([]);
});

test("a store of another layout is refused", async () => {
  const own = await started();
  const redis = new Redis(own.port);
  onTestFinished(() => redis.disconnect());
  await redis.hset("s1:layout", "version", "1", "partitions", "16");
  expect(await failure(own.url("prefix=s1"))).toMatch(/holds layout 1 under the prefix s1, this version knows layout 3/);
});

test("a database's number and a cluster don't go together", async () => {
  expect(await failure(cluster().freshUrl().replace("?", "/3?"))).toMatch(/is a cluster|can't be/);
});

test.each([
  ["redis://", "can't be read"],
  ["redis:host", "can't be read"],
  ["redis://host/name", "path that is no database's number"],
  ["redis://host?partitions=0", "partitions from 1 to 64"],
  ["redis://host?prefix=a{b}", "prefix"],
  ["redis://host?pasword=secret", 'unknown parameter "pasword"'],
  ["redis://u:%zz@host", "not percent-encoded"],
])("the address %j is refused", async (url, message) => {
  expect(await failure(url)).toContain(message);
});
