import { afterAll, beforeAll } from "vitest";
import { RedisCluster } from "./redis-cluster.ts";
import { RedisServer } from "./redis-server.ts";

/** A Redis for all tests of a file (of vitest). */
export function redisServer(...args: readonly string[]): () => RedisServer {
  return forFile(() => RedisServer.startInMemory(...args));
}

/** A Redis Cluster for all tests of a file. */
export function redisCluster(): () => RedisCluster {
  return forFile(() => RedisCluster.start());
}

function forFile<T extends AsyncDisposable>(start: () => Promise<T>): () => T {
  let started: T | undefined;
  beforeAll(async () => {
    started = await start();
  });
  afterAll(() => started?.[Symbol.asyncDispose]());
  return () => {
    if (started === undefined) throw new Error("it runs between beforeAll and afterAll");
    return started;
  };
}
