import { ConfigError } from "@serverless-harness/kit/env";
import type { HarnessError } from "@serverless-harness/kit/errors";
import { newId } from "@serverless-harness/kit/ids";
import { Cluster } from "ioredis";
import { storeLost } from "../contract/errors.ts";
import { readIdFile, unknownStore, writeIdFile } from "../contract/id-file.ts";
import type { RedisAddress } from "../contract/store-url.ts";
import { adviceOf, type Client, connectRedis } from "./connect.ts";
import { Names } from "./names.ts";
import {
  type IndexScript,
  type PartitionScript,
  programs,
  type SandboxScript,
  type ScheduleScript,
  type StoreScripts,
  type TokenScript,
} from "./programs.ts";
import { type Argument, closeClient, list, type Reply, runScript, text } from "./scripts.ts";

/** Version of the keys. Another one is refused, never guessed at. */
const LAYOUT = "3";

/** How often it is looked whether the store is still the one that was opened, in milliseconds. */
const LOOK_MS = 1000;

/** What a claim that was under way on a cluster came to. */
export interface ClaimEnd {
  readonly call: string;
  readonly tenant: string;
  /** Its partition had nothing ready of this tenant. */
  readonly vain: boolean;
}

/** A store's Redis: its connection, its names, its clock. */
export class Database {
  readonly client: Client;
  readonly names: Names;
  /** Everything is on one node, so a script reaches all of it. */
  readonly together: boolean;
  readonly #scripts: StoreScripts;
  readonly #now: (() => number) | undefined;
  readonly #id: string;
  #lookedAt = performance.now();
  #lost: HarnessError | undefined;

  /** `now`: milliseconds since the Unix epoch, instead of the server's own clock. */
  static async open(address: RedisAddress, now?: () => number): Promise<Database> {
    const client = await connectRedis(address);
    try {
      client.on("error", () => undefined);
      return new Database(client, ...(await readLayout(client, address)), now);
    } catch (error) {
      client.disconnect();
      throw adviceOf(error, address);
    }
  }

  private constructor(client: Client, names: Names, id: string, now: (() => number) | undefined) {
    this.client = client;
    this.names = names;
    this.together = !(client instanceof Cluster);
    this.#scripts = programs(this.together);
    this.#now = now;
    this.#id = id;
  }

  /** The time, milliseconds since the Unix epoch: by this process's clock, if scripts go by the server's. */
  get nowMs(): number {
    return this.#now?.() ?? Date.now();
  }

  /** The time that scripts get: empty for the server's own. */
  get time(): string {
    return this.#now === undefined ? "" : String(this.#now());
  }

  /**
   * Throw DATA_LOSS `store_lost` if Redis was found to hold another store than the one that was opened, as after a FLUSHALL: what was
   * acknowledged is gone, and what is asked for now would be answered from nothing. It is looked for once a second, after a call.
   */
  requireSame(): void {
    if (performance.now() - this.#lookedAt >= LOOK_MS) void this.#look();
    if (this.#lost !== undefined) throw this.#lost;
  }

  /** {@link requireSame}, looked for now. */
  async verifySame(): Promise<void> {
    await this.#look();
    this.requireSame();
  }

  async #look(): Promise<void> {
    this.#lookedAt = performance.now();
    const found = await this.client.hget(this.names.layout, "id").catch(() => this.#id);
    this.#lost = found === this.#id ? undefined : storeLost(found === null ? "was emptied" : "was replaced by another one");
  }

  /** Run one of the leaf store's scripts in a partition. */
  run(name: PartitionScript, partition: number, ...args: readonly Argument[]): Promise<Reply> {
    return runScript(this.client, this.#scripts[name], [this.names.base(partition)], [this.time, this.names.prefix, ...args]);
  }

  /** Run one of the scripts of the index of tenants. */
  runIndex(name: IndexScript, ...args: readonly Argument[]): Promise<Reply> {
    return runScript(this.client, this.#scripts[name], [this.names.index], [this.time, this.names.prefix, ...args]);
  }

  /** Run one of the scripts of schedules. */
  runSchedules(name: ScheduleScript, ...args: readonly Argument[]): Promise<Reply> {
    return runScript(this.client, this.#scripts[name], [this.names.schedules], [this.time, this.names.prefix, ...args]);
  }

  /** Run one of the scripts of tokens. */
  runTokens(name: TokenScript, ...args: readonly Argument[]): Promise<Reply> {
    return runScript(this.client, this.#scripts[name], [this.names.tokens], [this.time, this.names.prefix, ...args]);
  }

  /** Run one of the scripts of the pool of sandboxes. */
  runSandboxes(name: SandboxScript, ...args: readonly Argument[]): Promise<Reply> {
    return runScript(this.client, this.#scripts[name], [this.names.sandboxes], [this.time, this.names.prefix, ...args]);
  }

  /**
   * Run a script that changes a partition's queue: the first thing that it returns is told to the index, the rest is returned. If all is on
   * one node the script has told it already.
   */
  async change(name: PartitionScript, partition: number, ...args: readonly Argument[]): Promise<readonly Reply[]> {
    const [news, ...rest] = list(await this.run(name, partition, ...args));
    if (news !== undefined) await this.tell(partition, list(news));
    return rest;
  }

  /** Tell the index, on a cluster. `compared`: the first page of the whole partition, or another one, which overwrites what is known. */
  async tell(partition: number, news: readonly Reply[], compared?: "first" | "more", end?: ClaimEnd): Promise<void> {
    if (news.length === 0 && end === undefined) return;
    const [version = "", due = "-", ...tenants] = news.map(text);
    const claim = end === undefined ? ["", "", ""] : [end.call, end.tenant, end.vain ? "1" : ""];
    const force = compared === undefined ? "" : compared === "first" ? "2" : "1";
    await this.runIndex("tell", partition, version, due, force, ...claim, ...tenants);
  }

  /** Close the connection. Idempotent. */
  close(): void {
    closeClient(this.client);
  }
}

/** The layout of the store that is there, or of one that is made by this. Several processes may do so at once. */
async function readLayout(client: Client, address: RedisAddress): Promise<[names: Names, id: string]> {
  const { prefix, partitions, idFile } = address;
  const key = new Names(prefix, partitions).layout;
  const known = idFile === undefined ? undefined : readIdFile(idFile);
  if (idFile !== undefined && known !== undefined) {
    const there = await client.hget(key, "id");
    if (there !== known) throw unknownStore(nameOf(address), there === null ? "was emptied" : "was replaced by another one", idFile);
  }
  await client.hsetnx(key, "partitions", String(partitions));
  await client.hsetnx(key, "version", LAYOUT);
  await client.hsetnx(key, "id", newId("store"));
  const { version, partitions: found, id = "" } = await client.hgetall(key);
  if (version !== LAYOUT) {
    throw new ConfigError(
      `the leaf store's Redis holds layout ${version ?? "unknown"} under the prefix ${prefix}, this version knows layout ${LAYOUT}: ` +
        "run the version that made it, or choose another ?prefix=",
    );
  }
  if (idFile !== undefined && known === undefined) writeIdFile(idFile, id);
  return [new Names(prefix, Number(found)), id];
}

/** What people call a store, without its password. */
function nameOf({ host, port, db, prefix }: RedisAddress): string {
  return `redis://${host}:${port}/${db}?prefix=${prefix}`;
}
