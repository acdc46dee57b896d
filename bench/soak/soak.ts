import { setTimeout as sleep } from "node:timers/promises";
import { RedisServer } from "@serverless-harness/session/testing/redis";
import { Redis } from "ioredis";
import { type Stack, startStack } from "../parts/stack.ts";
import { Load } from "./load.ts";
import { report, type SoakReport } from "./report.ts";
import { diskBytes, type Sample, Sampler } from "./sampler.ts";

export const STORES = ["sqlite", "redis"] as const;
export type StoreName = (typeof STORES)[number];

/** How a soak is to run. */
export interface SoakOptions {
  readonly store: StoreName;
  readonly minutes: number;
  /** Run the sandbox's daemon and its commands in jails. */
  readonly jail: boolean;
  readonly progress: (line: string) => void;
}

/** How many looks there are in a soak. */
const SAMPLES = 360;
/** What is over is kept for a few minutes only, and a log for some hundred lines, so that keeping and removing come to balance in the warm-up. */
const RETENTION = {
  DISPATCHER_KEEP_LEAVES_HOURS: "0.1",
  DISPATCHER_KEEP_TOMBSTONES_HOURS: "0.1",
  DISPATCHER_KEEP_SESSIONS_HOURS: "0.1",
  DISPATCHER_BRAIN_LOG_MB: "0.2",
};

/** Put a stack under a constant load and look at everything that must not grow. Rejects if a leaf fails. */
export async function soak(options: SoakOptions): Promise<SoakReport> {
  const server = options.store === "redis" ? await RedisServer.start() : undefined;
  try {
    const stack = await startStack(options.jail, RETENTION, server?.url());
    try {
      return await observe(stack, options);
    } finally {
      await stack.close();
    }
  } finally {
    await server?.[Symbol.asyncDispose]();
  }
}

async function observe(stack: Stack, { store, minutes, progress }: SoakOptions): Promise<SoakReport> {
  const storeSize = openStoreSize(stack);
  const load = new Load(stack);
  const samples: Sample[] = [];
  await Promise.race([load.begun(), load.failed()]);
  const sampler = await Sampler.of(stack, storeSize.bytes);
  const started = performance.now();
  const everyMs = (minutes * 60_000) / SAMPLES;
  try {
    for (let i = 0; i < SAMPLES; i++) {
      const due = started + (i + 1) * everyMs;
      await Promise.race([sleep(Math.max(0, due - performance.now())), load.failed()]);
      samples.push(await sampler.look(performance.now() - started));
      if ((i + 1) % (SAMPLES / 20) === 0) progress(`${Math.round(((i + 1) / SAMPLES) * 100)} %: ${load.progress.leaves} leaves`);
    }
  } finally {
    storeSize.close();
    await load.stop();
  }
  return report(store, minutes, load.progress, samples);
}

/** What the store takes: the database with its log, or the memory of Redis. */
function openStoreSize({ storeUrl }: Stack): { bytes: () => Promise<number>; close: () => void } {
  if (storeUrl.startsWith("sqlite:")) {
    const file = storeUrl.slice("sqlite:".length);
    return { bytes: () => diskBytes(file, `${file}-wal`), close: () => undefined };
  }
  const redis = new Redis(storeUrl);
  const bytes = async (): Promise<number> => Number(/^used_memory:(\d+)/m.exec(await redis.info("memory"))?.[1]);
  return { bytes, close: () => redis.disconnect() };
}
