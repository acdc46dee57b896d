import type { Samples } from "../report/samples.ts";
import { runOne } from "./leaves.ts";
import type { Place } from "./place.ts";

const SESSIONS = 100;
const KEEP = { leafMs: 3_600_000, tombstoneMs: 3_600_000 };
/** A key more or less is a shard of a tenant that happens to be there. */
const FEW_KEYS = 50;

/** What a finished leaf takes, what its tombstone does, and what is left when that is gone as well. */
export async function measureBytes(place: Place, leaves: number, samples: Samples): Promise<void> {
  await runMany(place, SESSIONS * 2);
  await sweepAll(place, { leafMs: 0, tombstoneMs: 0 });
  const before = await place.usedBytes();
  const since = async (): Promise<number[]> => [((await place.usedBytes()) - before) / leaves];
  await runMany(place, leaves);
  samples.add("bytes_per_leaf", await since());
  await sweepAll(place, { ...KEEP, leafMs: 0 });
  samples.add("swept_leaf_bytes", await since());
  await sweepAll(place, { leafMs: 0, tombstoneMs: 0 });
  samples.add("gone_leaf_bytes", await since());
}

/** Run many leaves under retention: Redis may hold no more behind them than in front of them. Throws where it does. */
export async function measureFlatness(place: Place, leaves: number, samples: Samples, progress: (line: string) => void): Promise<void> {
  const pieces = 20;
  const sizes: number[] = [];
  const keys: number[] = [];
  for (let piece = 0; piece <= pieces; piece++) {
    progress(`memory: ${piece} of ${pieces}`);
    await runMany(place, Math.ceil(leaves / pieces));
    await sweepAll(place, { leafMs: 0, tombstoneMs: 0 });
    // The first piece fills what stays: sessions, scripts, buffers.
    if (piece === 0) continue;
    sizes.push((await place.usedBytes()) / 1e6);
    keys.push(await place.redis.dbsize());
  }
  samples.add("retained_mb", sizes);
  const grown = (keys.at(-1) ?? 0) - (keys[0] ?? 0);
  if (grown > FEW_KEYS) throw new Error(`${leaves} leaves that were swept left ${grown} keys behind`);
}

async function runMany(place: Place, leaves: number): Promise<void> {
  let next = 0;
  const loop = async (): Promise<void> => {
    for (let i = next++; i < leaves; i = next++) await runOne(place.store, `s${i % SESSIONS}`);
  };
  // As many sessions as there are loops at least, so that none finds another's leaf in its way.
  await Promise.all(Array.from({ length: 20 }, loop));
}

async function sweepAll({ store }: Place, retention: typeof KEEP): Promise<void> {
  while ((await store.sweep(retention, 1000)) > 0);
}
