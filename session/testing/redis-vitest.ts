import { afterAll, beforeAll } from "vitest";
import { RedisServer } from "./redis-server.ts";

/** A Redis for all tests of a file (of vitest). */
export function redisServer(...args: readonly string[]): () => RedisServer {
  let server: RedisServer | undefined;
  beforeAll(async () => {
    server = await RedisServer.start(...args);
  });
  afterAll(() => server?.[Symbol.asyncDispose]());
  return () => {
    if (server === undefined) throw new Error("the file's Redis was not started");
    return server;
  };
}
