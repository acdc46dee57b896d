import { once } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import { Redis } from "ioredis";
import { Link } from "./link.ts";
import { RedisServer } from "./redis-server.ts";

/** A Redis with a replica. Clients and the replica reach it over links, as over a network. */
export class RedisPair implements AsyncDisposable {
  readonly #primary: RedisServer;
  readonly #replica: RedisServer;
  readonly #front: Link;
  readonly #between: Link;

  /** Start both; resolves when the replica has its first copy. */
  static async start(): Promise<RedisPair> {
    const primary = await RedisServer.startInMemory("--repl-diskless-sync-delay", "0");
    const between = await Link.to(primary.port);
    const replica = await RedisServer.startInMemory("--replicaof", `127.0.0.1 ${between.port}`);
    const pair = new RedisPair(primary, replica, await Link.to(primary.port), between);
    await asked(replica, async (redis) => {
      // Nothing tells the end of the first copy.
      while (!(await replicationOf(redis)).includes("master_link_status:up")) await delay(10);
    });
    return pair;
  }

  private constructor(primary: RedisServer, replica: RedisServer, front: Link, between: Link) {
    this.#primary = primary;
    this.#replica = replica;
    this.#front = front;
    this.#between = between;
  }

  /** The address of a store in it. */
  url(): string {
    return `redis://127.0.0.1:${this.#front.port}`;
  }

  /** From now on the replica hears of nothing. It has all that was acknowledged until here. */
  async stopReplication(): Promise<void> {
    const all = await asked(this.#primary, offsetOf);
    await asked(this.#replica, async (redis) => {
      while ((await offsetOf(redis)) < all) await delay(5);
    });
    this.#between.stop();
  }

  /** The primary dies, its replica becomes one, and clients come out there. */
  async failOver(): Promise<void> {
    await this.#primary.kill();
    await asked(this.#replica, (redis) => redis.call("REPLICAOF", "NO", "ONE"));
    this.#front.lead(this.#replica.port);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const part of [this.#front, this.#between, this.#replica, this.#primary]) await part[Symbol.asyncDispose]();
  }
}

async function replicationOf(redis: Redis): Promise<string> {
  return String(await redis.info("replication"));
}

async function offsetOf(redis: Redis): Promise<number> {
  return Number(/master_repl_offset:(\d+)/.exec(await replicationOf(redis))?.[1]);
}

async function asked<T>(server: RedisServer, ask: (redis: Redis) => Promise<T>): Promise<T> {
  const redis = new Redis(server.port, "127.0.0.1");
  try {
    return await ask(redis);
  } finally {
    redis.disconnect();
    if (redis.status !== "end") await once(redis, "end");
  }
}
