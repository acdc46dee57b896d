import { RedisServer } from "@serverless-harness/session/testing/redis";
import { Redis } from "ioredis";
import type { Benchmark, BenchmarkOptions } from "./benchmark.ts";
import { echo, readBytes } from "./exec/calls.ts";
import { paced, timed } from "./pace.mjs";
import { scratch } from "./parts/process.ts";
import { BothWays } from "./pool/both-ways.ts";
import { idleDialOut } from "./pool/idle-dial-outs.ts";
import { placements } from "./pool/placements.ts";
import { recovery } from "./pool/recovery.ts";
import { Samples } from "./report/samples.ts";

/** Pause between two commands of an agent, in milliseconds. */
const GAP_MS = 10;
/** Commands in a block of one way. */
const BLOCK = 25;
const WARM_UP = 50;
const BULK_BYTES = 20e6;
const SANDBOXES = 200;
const DIAL_OUTS = 200;

/**
 * What a sandbox that dialled in costs next to one that is connected to, what it costs to place a session among many sandboxes, and how long sessions are
 * without one when theirs is killed.
 */
export const pool: Benchmark = async (options) => {
  const samples = new Samples();
  await measureCommands(options, samples);
  for (let round = 1; round <= (options.quick ? 1 : 5); round++) {
    options.progress(`round ${round}: ${DIAL_OUTS} idle dial-outs`);
    samples.add("idle_dial_out_mb", [await idleDialOut(DIAL_OUTS, options.quick ? 5 : 30)]);
  }
  await measurePlacements(options, samples);
  const sessions = options.quick ? 10 : 100;
  options.progress(`a sandbox is killed under ${sessions} sessions`);
  samples.add("recovery_ms", await recovery(sessions));
  return samples.report("pool", {
    "dialled/direct": ["dialled_echo_ms", "direct_echo_ms"],
    "dialled_tight/direct": ["dialled_echo_tight_ms", "direct_echo_tight_ms"],
    "dialled_bulk/direct": ["dialled_bulk_mb_s", "direct_bulk_mb_s"],
    "place_redis/ping": ["place_redis_ms", "ping_redis_ms"],
    "fullest/even": ["fullest_entries", "even_entries"],
    "fullest_redis/even": ["fullest_redis_entries", "even_redis_entries"],
  });
};

/** The same daemon both ways, in turn, so that what disturbs the machine disturbs both. */
async function measureCommands({ quick, jail, progress }: BenchmarkOptions, samples: Samples): Promise<void> {
  await using sandbox = await BothWays.open(jail);
  const ways = { direct: sandbox.direct, dialled: sandbox.dialled };
  for (const workspace of Object.values(ways)) await paced(WARM_UP, 0, () => echo(workspace));
  const rounds = quick ? 8 : 60;
  for (let round = 1; round <= rounds; round++) {
    progress(`commands: round ${round} of ${rounds}`);
    // Each is first in every other round.
    const entries = round % 2 === 0 ? Object.entries(ways) : Object.entries(ways).reverse();
    for (const [way, workspace] of entries) samples.add(`${way}_echo_ms`, await paced(BLOCK, GAP_MS, () => echo(workspace)));
    for (const [way, workspace] of entries) samples.add(`${way}_echo_tight_ms`, await paced(BLOCK, 0, () => echo(workspace)));
    if (round % 4 !== 0) continue;
    for (const [way, workspace] of entries) {
      const ms = await timed(() => readBytes(workspace, BULK_BYTES));
      samples.add(`${way}_bulk_mb_s`, [BULK_BYTES / 1e3 / ms]);
    }
  }
}

/** On each store. */
async function measurePlacements({ quick, progress }: BenchmarkOptions, samples: Samples): Promise<void> {
  const files = await scratch();
  await using redis = await RedisServer.start("--appendfsync", "everysec");
  const sessions = quick ? 1000 : 10_000;
  for (const [suffix, url] of [
    ["", `sqlite:${files.path("leaf.db")}`],
    ["_redis", redis.url()],
  ] as const) {
    progress(`${sessions} sessions among ${SANDBOXES} sandboxes: ${url.split(":", 1)[0]}`);
    const { placed, again, loads } = await placements(url, sessions, SANDBOXES);
    samples.add(`place${suffix}_ms`, placed);
    samples.add(`place_again${suffix}_ms`, again);
    samples.add(`fullest${suffix}_entries`, [Math.max(...loads)]);
    samples.add(`emptiest${suffix}_entries`, [Math.min(...loads)]);
    samples.add(`even${suffix}_entries`, [sessions / SANDBOXES]);
  }
  const client = new Redis(redis.url());
  samples.add("ping_redis_ms", await paced(quick ? 200 : 2000, 0, () => client.ping()));
  client.disconnect();
  await files.remove();
}
