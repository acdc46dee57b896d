import { type LeafStore, parseStoreUrl, type RedisAddress } from "@serverless-harness/session";
import { openRedisLeafStore } from "@serverless-harness/session/redis";
import { RedisServer } from "@serverless-harness/session/testing/redis";
import { Redis } from "ioredis";
import { BullQueue } from "./bullmq.ts";

/** How a Redis syncs its append-only file: a second may be lost with a power cut, or nothing. */
export type Sync = "everysec" | "always";

/** A Redis of its own with a leaf store and a BullMQ queue in it. */
export class Place implements AsyncDisposable {
  readonly sync: Sync;
  readonly store: LeafStore;
  readonly bull: BullQueue;
  /** A connection for looking. */
  readonly redis: Redis;
  readonly #server: RedisServer;

  static async start(sync: Sync): Promise<Place> {
    const server = await RedisServer.start("--appendfsync", sync);
    try {
      const store = await openRedisLeafStore(addressOf(server.url()));
      return new Place(sync, server, store);
    } catch (error) {
      await server[Symbol.asyncDispose]();
      throw error;
    }
  }

  private constructor(sync: Sync, server: RedisServer, store: LeafStore) {
    this.sync = sync;
    this.store = store;
    this.bull = new BullQueue(server.port);
    this.redis = new Redis(server.port, "127.0.0.1");
    this.#server = server;
  }

  /** Another handle on the store, as another process has it. */
  connect(): Promise<LeafStore> {
    return openRedisLeafStore(addressOf(this.#server.url()));
  }

  /** Memory that Redis uses for data, in bytes. */
  async usedBytes(): Promise<number> {
    const info = await this.redis.info("memory");
    return Number(/^used_memory_dataset:(\d+)/m.exec(info)?.[1]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.bull.close();
    await this.store.close();
    this.redis.disconnect();
    await this.#server[Symbol.asyncDispose]();
  }
}

function addressOf(url: string): RedisAddress {
  const address = parseStoreUrl(url);
  if (address.kind !== "redis") throw new Error(`${url} is no Redis address`);
  return address.redis;
}
