import { openLeafStore } from "@serverless-harness/session";
import { RedisServer } from "@serverless-harness/session/testing/redis";
import type { Benchmark, BenchmarkOptions } from "./benchmark.ts";
import { watchMemory } from "./density/memory.ts";
import { followerDelays, watcherDelays } from "./door/delays.ts";
import { Door, TOKEN } from "./door/door.ts";
import { submitToRequest } from "./door/first-request.ts";
import { GrpcCaller } from "./door/grpc.ts";
import { submitDelays, submitsPerSecond } from "./door/submits.ts";
import { tokenChecks } from "./door/token-checks.ts";
import { scratch } from "./parts/process.ts";
import { startStack } from "./parts/stack.ts";
import { Samples } from "./report/samples.ts";

const LEAVES = 100;
const WATCHERS = 1000;
/** Submits at any time of a throughput, and submits of one measured block. */
const IN_FLIGHT = 32;
const BLOCK = 1000;

/** What the dispatcher adds to the store: to a submit, to an event, to a leaf's start; and what a thousand watchers of a hundred leaves take. */
export const door: Benchmark = async (options) => {
  const samples = new Samples();
  await measureSubmits(options, samples);
  await measureStarts(options, samples);
  for (let round = 1; round <= (options.quick ? 1 : 3); round++) {
    options.progress(`round ${round}: ${WATCHERS} watchers of ${LEAVES} leaves`);
    await measureWatchers(options, samples);
  }
  return samples.report("door", {
    "submit_grpc/store": ["submit_grpc_ms", "submit_store_ms"],
    "submit_grpc_redis/store": ["submit_grpc_redis_ms", "submit_store_redis_ms"],
    "event_to_watcher/follower": ["event_to_watcher_ms", "event_to_follower_ms"],
  });
};

/** Submits on each store, and the check of a token. */
async function measureSubmits({ quick, progress }: BenchmarkOptions, samples: Samples): Promise<void> {
  await using redis = await RedisServer.start("--appendfsync", "everysec");
  await using onSqlite = await Door.open();
  await using onRedis = await Door.open(redis.url());
  const callers = await Promise.all([onSqlite, onRedis].map(({ origin }) => GrpcCaller.open(origin, TOKEN)));
  const rounds = quick ? 3 : 15;
  for (let round = 0; round <= rounds; round++) {
    progress(`submits: round ${round} of ${rounds}`);
    // The first round warms up.
    const into = round === 0 ? new Samples() : samples;
    for (const [index, opened] of [onSqlite, onRedis].entries()) {
      const [caller, suffix] = [callers[index] as GrpcCaller, index === 0 ? "" : "_redis"];
      const { grpc, store } = await submitDelays(opened, caller, 50);
      into.add(`submit_grpc${suffix}_ms`, grpc);
      into.add(`submit_store${suffix}_ms`, store);
      into.add(`submits_grpc${suffix}_per_s`, [await submitsPerSecond(caller, IN_FLIGHT, BLOCK)]);
    }
  }
  for (const caller of callers) caller.close();
  const files = await scratch();
  samples.add("token_check_ms", await tokenChecks(onRedis.store, files.path("keys.json"), quick ? 100 : 1000));
  await files.remove();
}

/** Leaves that a brain which lives already takes up. */
async function measureStarts({ quick, jail, progress }: BenchmarkOptions, samples: Samples): Promise<void> {
  const stack = await startStack(jail, { BRAIN_GRACE_MS: "60000" });
  const starts = quick ? 10 : 100;
  try {
    for (let start = 0; start <= starts; start++) {
      progress(`start ${start} of ${starts}`);
      const took = await submitToRequest(stack);
      if (start > 0) samples.add("submit_to_request_ms", [took]);
    }
  } finally {
    await stack.close();
  }
}

async function measureWatchers({ quick }: BenchmarkOptions, samples: Samples): Promise<void> {
  const looks = quick ? 5 : 50;
  await using opened = await Door.open();
  const memory = async (metric: string): Promise<void> => {
    const seen = await watchMemory(opened.dispatcherPid, looks);
    samples.add(
      metric,
      seen.map(({ rss }) => rss),
    );
  };
  await memory("rss_idle_mb");
  await opened.startLeaves(LEAVES);
  await opened.startWatchers(WATCHERS);
  await memory("rss_1000_mb");
  const events = quick ? 2 : 10;
  samples.add("event_to_watcher_ms", await watcherDelays(opened, events));
  await memory("rss_1000_after_events_mb");
  const [claim] = opened.claims;
  if (claim === undefined) throw new Error("there is no leaf to follow");
  const follower = await openLeafStore(opened.storeUrl);
  samples.add("event_to_follower_ms", await followerDelays(opened.store, follower, claim, 2 + events, quick ? 20 : 200));
  await follower.close();
}
