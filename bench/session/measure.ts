import type { Storage } from "@earendil-works/pi-agent-core";
import {
  STORAGE_BENCHMARK_DATASETS,
  STORAGE_READ_BENCHMARK_SCENARIOS,
  STORAGE_WRITE_BENCHMARK_SCENARIOS,
} from "@earendil-works/pi-agent-core/harness/session/testing";
import { timed } from "../pace.mjs";

/** Pi's datasets, by the number of entries as rows name it. */
export const DATASETS = {
  "1k": found(STORAGE_BENCHMARK_DATASETS.find(({ entryCount }) => entryCount === 1_000)),
  "10k": found(STORAGE_BENCHMARK_DATASETS.find(({ entryCount }) => entryCount === 10_000)),
  "100k": found(STORAGE_BENCHMARK_DATASETS.find(({ entryCount }) => entryCount === 100_000)),
} as const;

export type Scale = keyof typeof DATASETS;

const write = (name: string) => found(STORAGE_WRITE_BENCHMARK_SCENARIOS.find((each) => each.name.startsWith(name)));
const read = (name: string) => found(STORAGE_READ_BENCHMARK_SCENARIOS.find((each) => each.name.startsWith(name)));

/** Pi's writes, as rows name them. */
export const WRITES = {
  commit_1: write("commit one message entry"),
  commit_100: write("commit 100 message entries"),
  commit_mixed: write("commit mixed append"),
} as const;

/** Pi's reads, as rows name them. */
export const READS = {
  get_100: read("get 100 distributed entries"),
  scan_50: read("scan latest 50 entries"),
  structure: read("scan full branch structure"),
} as const;

/** Milliseconds of one write on each of these storages, which nobody used before. */
export async function timeWrites(name: keyof typeof WRITES, storages: readonly Storage[]): Promise<number[]> {
  const { prepare, run, writeCount } = WRITES[name];
  const samples: number[] = [];
  for (const storage of storages) {
    await prepare?.(storage);
    samples.push(await timed(() => expecting(writeCount, run(storage))));
  }
  return samples;
}

/** Milliseconds of a read, again and again. */
export async function timeReads(name: keyof typeof READS, storage: Storage, scale: Scale, count: number): Promise<number[]> {
  const dataset = DATASETS[scale];
  const { run, expectedResult } = READS[name];
  const samples: number[] = [];
  for (let i = 0; i < count; i++) samples.push(await timed(() => expecting(expectedResult(dataset), run(storage, dataset))));
  return samples;
}

async function expecting(wanted: number, got: Promise<number>): Promise<void> {
  const result = await got;
  if (result !== wanted) throw new Error(`a scenario of Pi's found ${result} where it should find ${wanted}`);
}

function found<T>(value: T | undefined): T {
  if (value === undefined) throw new Error("Pi has other benchmark scenarios now");
  return value;
}
