import { BACKGROUND_CONTEXT as CONTEXT } from "@earendil-works/pi-agent-core/harness/context";
import { generateStorageBenchmarkSeedTransactions } from "@earendil-works/pi-agent-core/harness/session/testing";
import { expect, onTestFinished, test } from "vitest";
import { scratch } from "../parts/process.ts";
import { DATASETS, timeReads, timeWrites } from "../session/measure.ts";
import { openAtCheckpoint, replay, tail } from "../session/open.ts";
import { fill, jsonlPlace, memoryPlace, redisPlace, sqlitePlace } from "../session/places.ts";

test("every place does Pi's scenarios, each write on a session of its own", async () => {
  const files = await scratch();
  onTestFinished(() => files.remove());
  const places = [await redisPlace("everysec"), await sqlitePlace(files), await jsonlPlace(files), memoryPlace()];
  for (const place of places) {
    onTestFinished(() => place.close());
    for (const name of ["commit_1", "commit_100", "commit_mixed"] as const) {
      expect(await timeWrites(name, await place.storages(2))).toHaveLength(2);
    }
    const [storage] = await place.storages(1);
    if (storage === undefined) throw new Error("no storage");
    await fill(storage, generateStorageBenchmarkSeedTransactions(DATASETS["1k"]));
    for (const name of ["get_100", "scan_50", "structure"] as const) expect(await timeReads(name, storage, "1k", 2)).toHaveLength(2);
  }
});

test("opening at the last compaction reads what is behind it, and a replay reads everything", async () => {
  const place = await redisPlace("always");
  onTestFinished(() => place.close());
  const [storage] = await place.storages(1);
  if (storage === undefined) throw new Error("no storage");
  await fill(storage, generateStorageBenchmarkSeedTransactions(DATASETS["1k"]));
  await fill(storage, tail(DATASETS["1k"].tipId));
  const { session, entries } = await openAtCheckpoint(place, storage);
  expect(entries).toBe(51);
  expect(await replay(storage)).toBe(1051);
  await session.close(CONTEXT);
});
