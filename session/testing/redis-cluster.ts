import { once } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import { Redis } from "ioredis";
import { freePort, RedisServer } from "./redis-server.ts";

const SLOTS = 16_384;

/** A Redis Cluster of three masters, each a process of its own on the loopback. */
export class RedisCluster implements AsyncDisposable {
  readonly #nodes: readonly RedisServer[];
  #stores = 0;

  /** Start one; resolves when every node serves every slot. */
  static async start(): Promise<RedisCluster> {
    const nodes: RedisServer[] = [];
    const buses: number[] = [];
    for (let i = 0; i < 3; i++) {
      const bus = await freePort();
      buses.push(bus);
      nodes.push(await RedisServer.startInMemory("--cluster-enabled", "yes", "--cluster-port", `${bus}`));
    }
    const clients = nodes.map(({ port }) => new Redis({ port, host: "127.0.0.1" }));
    for (const [i, client] of clients.entries()) {
      await client.call("CLUSTER", "ADDSLOTSRANGE", Math.floor((SLOTS * i) / 3), Math.floor((SLOTS * (i + 1)) / 3) - 1);
      await clients[0]?.call("CLUSTER", "MEET", "127.0.0.1", `${nodes[i]?.port}`, `${buses[i]}`);
    }
    for (const client of clients) {
      // Nodes learn of each other by gossip, which nothing tells the end of.
      while (!(await isWhole(client))) await delay(20);
      client.disconnect();
      if (client.status !== "end") await once(client, "end");
    }
    return new RedisCluster(nodes);
  }

  private constructor(nodes: readonly RedisServer[]) {
    this.#nodes = nodes;
  }

  /** The address of a store that nobody used before. */
  freshUrl(parameters = ""): string {
    this.#stores++;
    return `redis://127.0.0.1:${this.#nodes[0]?.port}?prefix=s${this.#stores}${parameters === "" ? "" : `&${parameters}`}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const node of this.#nodes) await node[Symbol.asyncDispose]();
  }
}

async function isWhole(client: Redis): Promise<boolean> {
  const info = String(await client.call("CLUSTER", "INFO"));
  return info.includes("cluster_state:ok") && info.includes(`cluster_slots_ok:${SLOTS}`) && info.includes("cluster_known_nodes:3");
}
