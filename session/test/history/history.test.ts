import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { storeDirectory } from "@serverless-harness/kit/testing";
import { expect, onTestFinished, test } from "vitest";
import { type LeafStore, openLeafStore } from "../../index.ts";
import { Child } from "../../testing/child.ts";
import { redisCluster, redisServer } from "../../testing/redis-vitest.ts";
import { violationsOf } from "./checker.ts";
import { finals } from "./finals.ts";
import { type Call, readCalls } from "./history.ts";
import { randomOf, steadyMs } from "./recorder.ts";

const SUBMITTER = new URL("../fixtures/history-submitter.ts", import.meta.url);
const WORKER = new URL("../fixtures/history-worker.ts", import.meta.url);

const server = redisServer();
const cluster = redisCluster();

const places: Readonly<Record<string, () => Promise<string>>> = {
  SQLite: async () => `sqlite:${join(await storeDirectory(), "leaf.db")}`,
  Redis: async () => server().freshUrl(),
  "a Redis Cluster": async () => cluster().freshUrl(),
};

const SUBMITTERS = 3;
const LEAVES_EACH = 45;
const WORKERS = 4;
/** What befalls processes while they work: deaths and stops. */
const BLOWS = 24;

/** Processes on one store that are killed, stopped and replaced. */
class Crowd {
  readonly url: string;
  readonly store: LeafStore;
  readonly random: () => number;
  readonly calls: Call[] = [];
  readonly #all: { readonly name: string; readonly child: Child }[] = [];

  constructor(url: string, store: LeafStore, seed: number) {
    this.url = url;
    this.store = store;
    this.random = randomOf(seed);
  }

  start(program: URL, kind: string, ...args: string[]): { readonly name: string; readonly child: Child } {
    const name = `${kind}${this.#all.length}`;
    const started = { name, child: new Child(program, this.url, name, `${Math.floor(this.random() * 2 ** 31)}`, ...args) };
    this.#all.push(started);
    return started;
  }

  /** A worker that is known to be dead. */
  async sayDead(worker: string): Promise<void> {
    const beginMs = steadyMs();
    await this.store.releaseWorker(worker, "died");
    this.calls.push({ process: "test", op: "releaseWorker", worker, beginMs, endMs: steadyMs(), answer: "ok" });
  }

  history(): Call[] {
    return [...this.calls, ...this.#all.flatMap(({ name, child }) => readCalls(name, child.lines))];
  }

  /** Whoever failed by itself: a process whose store did what it must not do. */
  failures(): string[] {
    return this.#all.filter(({ child }) => (child.process.exitCode ?? 0) !== 0).map(({ name }) => name);
  }
}

/** Submit a share of the leaves; whoever is killed in it is replaced by one that begins a little before. */
async function submitShare(crowd: Crowd, share: number): Promise<void> {
  const last = (share + 1) * LEAVES_EACH - 1;
  let first = share * LEAVES_EACH;
  for (let deaths = 0; deaths < 2; deaths++) {
    const { child } = crowd.start(SUBMITTER, "submitter", `${first}`, `${last}`);
    await child.printed(1 + Math.floor(crowd.random() * LEAVES_EACH));
    await child.kill();
    // Some numbers are submitted twice, so it is not the calls that count.
    const begun = child.lines.map((line) => Number(/"op":"submit","key":"k(\d+)"/.exec(line)?.[1] ?? first));
    first = Math.max(first, Math.max(first, ...begun) - 3);
  }
  await crowd.start(SUBMITTER, "submitter", `${first}`, `${last}`).child.ended;
}

test.each(Object.entries(places))("whatever kills and stops processes on %s, their whole history keeps every promise", async (_, place) => {
  const url = await place();
  const store = await openLeafStore(url);
  onTestFinished(() => store.close());
  const seed = Math.floor(Math.random() * 2 ** 31);
  const crowd = new Crowd(url, store, seed);
  const workers = Array.from({ length: WORKERS }, () => crowd.start(WORKER, "worker"));
  const shares = Array.from({ length: SUBMITTERS }, (__, share) => submitShare(crowd, share));
  for (let blow = 0; blow < BLOWS; blow++) {
    await delay(40 + crowd.random() * 160);
    const which = Math.floor(crowd.random() * WORKERS);
    const struck = workers[which];
    if (struck === undefined) continue;
    if (crowd.random() < 0.5) {
      struck.child.process.kill("SIGSTOP");
      await delay(crowd.random() * 500);
      struck.child.process.kill("SIGCONT");
      continue;
    }
    await struck.child.kill();
    if (crowd.random() < 0.5) await crowd.sayDead(struck.name);
    workers[which] = crowd.start(WORKER, "worker");
  }
  // Followers end with the last leaf, so submitters do as well.
  await Promise.all(shares);
  for (const { child } of workers) child.process.stdin.end();
  await Promise.all(workers.map(({ child }) => child.ended));
  const calls = crowd.history();
  const leaves = await finals(store);
  expect(crowd.failures(), `seed ${seed}`).toEqual([]);
  expect(violationsOf({ calls, leaves }), `seed ${seed}`).toEqual([]);
  expect(leaves).toHaveLength(SUBMITTERS * LEAVES_EACH);
  // A history without a refusal and without a takeover proves little.
  expect(calls.filter(({ answer }) => answer === "stale_epoch").length).toBeGreaterThan(5);
  expect(leaves.filter(({ log }) => log.filter(({ word }) => word === "running").length > 1).length).toBeGreaterThan(5);
});
