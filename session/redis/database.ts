import { ConfigError } from "@serverless-harness/kit/env";
import type { RedisAddress } from "../store-url.ts";
import { adviceOf, type Client, connectRedis } from "./connect.ts";
import { Names } from "./names.ts";
import { type Argument, closeClient, loadScript, type Reply, runScript, type Script } from "./scripts.ts";

/** Version of the keys. Another one is refused, never guessed at. */
const LAYOUT = "1";

const DIRECTORY = new URL("scripts/", import.meta.url);
const CLOCK = loadScript(DIRECTORY, "clock").lua;
/** What a script of a partition needs to append events to a leaf's log. */
export const LOG = loadScript(DIRECTORY, "log", loadScript(DIRECTORY, "names", CLOCK).lua).lua;
const LIB = loadScript(DIRECTORY, "lib", LOG).lua;

/** Scripts of a partition; each file says what its arguments are. */
const PARTITION_SCRIPTS = {
  append: partitionScript("append"),
  backlog: partitionScript("backlog"),
  claim: partitionScript("claim"),
  events: partitionScript("events"),
  finish: partitionScript("finish"),
  get: partitionScript("get"),
  heartbeat: partitionScript("heartbeat"),
  inspect: partitionScript("inspect"),
  list: partitionScript("list"),
  release: partitionScript("release"),
  releaseWorker: partitionScript("release-worker"),
  retry: partitionScript("retry"),
  submit: partitionScript("submit"),
};

/** Scripts of keys that stand outside of partitions. */
export const RESERVE = loadScript(DIRECTORY, "reserve");
export const UNRESERVE = loadScript(DIRECTORY, "unreserve");
export const HINT = loadScript(DIRECTORY, "hint");
export const HINTS = loadScript(DIRECTORY, "hints", CLOCK);

function partitionScript(name: string): Script {
  return loadScript(DIRECTORY, name, LIB);
}

/** A store's Redis: its connection, its names, its clock. */
export class Database {
  readonly client: Client;
  readonly names: Names;
  readonly #now: (() => number) | undefined;

  /** `now`: milliseconds since the Unix epoch, instead of the server's own clock. */
  static async open(address: RedisAddress, now?: () => number): Promise<Database> {
    const client = await connectRedis(address);
    try {
      client.on("error", () => undefined);
      return new Database(client, await readLayout(client, address), now);
    } catch (error) {
      client.disconnect();
      throw adviceOf(error, address);
    }
  }

  private constructor(client: Client, names: Names, now: (() => number) | undefined) {
    this.client = client;
    this.names = names;
    this.#now = now;
  }

  /** The time that scripts get: empty for the server's own. */
  get time(): string {
    return this.#now === undefined ? "" : String(this.#now());
  }

  /** Run one of the leaf store's scripts in a partition. */
  run(name: keyof typeof PARTITION_SCRIPTS, partition: number, ...args: readonly Argument[]): Promise<Reply> {
    return runScript(this.client, PARTITION_SCRIPTS[name], [this.names.base(partition)], [this.time, this.names.prefix, ...args]);
  }

  /** Close the connection. Idempotent. */
  close(): void {
    closeClient(this.client);
  }
}

/** The layout of the store that is there, or of one that is made by this. Several processes may do so at once. */
async function readLayout(client: Client, { prefix, partitions }: RedisAddress): Promise<Names> {
  const key = new Names(prefix, partitions).layout;
  await client.hsetnx(key, "partitions", String(partitions));
  await client.hsetnx(key, "version", LAYOUT);
  const { version, partitions: found } = await client.hgetall(key);
  if (version !== LAYOUT) {
    throw new ConfigError(
      `the leaf store's Redis holds layout ${version ?? "unknown"} under the prefix ${prefix}, this version knows layout ${LAYOUT}: ` +
        "run the version that made it, or choose another ?prefix=",
    );
  }
  return new Names(prefix, Number(found));
}
