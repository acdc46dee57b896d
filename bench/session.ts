import type { Storage } from "@earendil-works/pi-agent-core";
import { BACKGROUND_CONTEXT as CONTEXT } from "@earendil-works/pi-agent-core/harness/context";
import { generateStorageBenchmarkSeedTransactions } from "@earendil-works/pi-agent-core/harness/session/testing";
import type { Benchmark, BenchmarkOptions } from "./benchmark.ts";
import { timed } from "./pace.mjs";
import { scratch } from "./parts/process.ts";
import { Samples } from "./report/samples.ts";
import { DATASETS, READS, type Scale, timeReads, timeWrites, WRITES } from "./session/measure.ts";
import { openAtCheckpoint, replay, tail } from "./session/open.ts";
import { fill, jsonlPlace, memoryPlace, type OwnedPlace, type Place, redisPlace, sqlitePlace } from "./session/places.ts";

/** Writes in a block, each on a session of its own. */
const BLOCK = 20;

/** Pi's own storage scenarios on our Redis sessions, per way of syncing, and on Pi's backends; then opening a long session. */
export const session: Benchmark = async (options) => {
  const files = await scratch();
  const samples = new Samples();
  const ours = [await redisPlace("everysec"), await redisPlace("always")];
  const places: Place[] = [...ours, await sqlitePlace(files), await jsonlPlace(files), memoryPlace()];
  try {
    await measureWrites(places, options, samples);
    for (const scale of options.quick ? (["1k", "100k"] as const) : (["1k", "10k", "100k"] as const)) {
      const filled = await fillAll(places, scale, options);
      await measureReads(filled, scale, options, samples);
      await measureOpening(ours, filled, scale, options, samples);
      for (const storage of filled.values()) await storage.close(CONTEXT);
    }
  } finally {
    for (const place of places) await place.close();
    await files.remove();
  }
  return samples.report("session", {
    "commit_1_everysec/sqlite": ["commit_1_everysec_ms", "commit_1_sqlite_ms"],
    "commit_1_always/sqlite": ["commit_1_always_ms", "commit_1_sqlite_ms"],
    "commit_100_everysec/sqlite": ["commit_100_everysec_ms", "commit_100_sqlite_ms"],
    "commit_mixed_everysec/sqlite": ["commit_mixed_everysec_ms", "commit_mixed_sqlite_ms"],
    "scan_50_everysec/sqlite": ["scan_50_everysec_ms", "scan_50_sqlite_ms"],
    "get_100_everysec/sqlite": ["get_100_everysec_ms", "get_100_sqlite_ms"],
    "structure_100k_everysec/sqlite": ["structure_100k_everysec_ms", "structure_100k_sqlite_ms"],
    "open_100k_everysec/replay": ["open_100k_everysec_ms", "replay_100k_everysec_ms"],
    "open_100k_everysec/open_1k": ["open_100k_everysec_ms", "open_1k_everysec_ms"],
  });
};

/** Rounds of short blocks, every place in turn, so that what disturbs the machine disturbs all of them. */
async function measureWrites(places: readonly Place[], { quick, progress }: BenchmarkOptions, samples: Samples): Promise<void> {
  for (const name of Object.keys(WRITES) as (keyof typeof WRITES)[]) {
    // A mixed append needs a thousand entries before it, each time.
    const block = name === "commit_mixed" ? 3 : BLOCK;
    const rounds = quick ? 4 : 30;
    for (let round = 0; round <= rounds; round++) {
      progress(`${name}: round ${round} of ${rounds}`);
      for (const place of places) {
        const storages = await place.storages(block);
        const times = await timeWrites(name, storages);
        // The first round warms up.
        if (round > 0) samples.add(`${name}_${place.name}_ms`, times);
        for (const storage of storages) await storage.close(CONTEXT);
      }
    }
  }
}

/** A session of Pi's dataset in every place. */
async function fillAll(places: readonly Place[], scale: Scale, { progress }: BenchmarkOptions): Promise<Map<Place, Storage>> {
  const filled = new Map<Place, Storage>();
  for (const place of places) {
    progress(`${scale} entries: filling ${place.name}`);
    const [storage] = await place.storages(1);
    if (storage === undefined) throw new Error("no storage");
    await fill(storage, generateStorageBenchmarkSeedTransactions(DATASETS[scale]));
    filled.set(place, storage);
  }
  return filled;
}

async function measureReads(
  filled: ReadonlyMap<Place, Storage>,
  scale: Scale,
  { quick, progress }: BenchmarkOptions,
  samples: Samples,
): Promise<void> {
  const rounds = quick ? 3 : 20;
  for (const name of Object.keys(READS) as (keyof typeof READS)[]) {
    progress(`${name} of ${scale} entries`);
    for (let round = 0; round <= rounds; round++) {
      for (const [place, storage] of filled) {
        const times = await timeReads(name, storage, scale, name === "structure" ? 1 : BLOCK);
        if (round > 0) samples.add(`${rowOf(name, scale)}_${place.name}_ms`, times);
      }
    }
  }
}

/** Reads of single pages are named without the longest session's length, which they don't depend on. */
function rowOf(name: keyof typeof READS, scale: Scale): string {
  return name !== "structure" && scale === "100k" ? name : `${name}_${scale}`;
}

/** Open the filled sessions at their last compaction, next to reading all of one. */
async function measureOpening(
  places: readonly OwnedPlace[],
  filled: ReadonlyMap<Place, Storage>,
  scale: Scale,
  { quick, progress }: BenchmarkOptions,
  samples: Samples,
): Promise<void> {
  progress(`opening ${scale} entries`);
  const opened = places.flatMap((place) => {
    const storage = filled.get(place);
    return storage === undefined ? [] : [{ place, storage }];
  });
  for (const { storage } of opened) await fill(storage, tail(DATASETS[scale].tipId));
  for (let round = 0; round <= (quick ? 20 : 100); round++) {
    for (const { place, storage } of opened) {
      const before = await place.bytesSent();
      const started = performance.now();
      const { session: open, entries } = await openAtCheckpoint(place, storage);
      const took = performance.now() - started;
      const bytes = (await place.bytesSent()) - before;
      await open.close(CONTEXT);
      if (round === 0) continue;
      samples.add(`open_${scale}_${place.name}_ms`, [took]);
      samples.add(`open_${scale}_${place.name}_entries`, [entries]);
      samples.add(`open_${scale}_${place.name}_bytes`, [bytes]);
    }
  }
  for (const { place, storage } of opened) samples.add(`replay_${scale}_${place.name}_ms`, [await timed(() => replay(storage))]);
}
