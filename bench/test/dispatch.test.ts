import { expect, onTestFinished, test } from "vitest";
import { leafDelays, leavesPerSecond } from "../dispatch/leaves.ts";
import { measureBytes, measureFlatness } from "../dispatch/memory.ts";
import { Place } from "../dispatch/place.ts";
import { Samples } from "../report/samples.ts";

test("leaves and jobs of the same Redis are run to their end, and what is measured is kept apart", async () => {
  const place = await Place.start("always");
  onTestFinished(() => place[Symbol.asyncDispose]());
  expect(await leavesPerSecond(place.store, 3, 20)).toBeGreaterThan(0);
  expect(await place.bull.perSecond(3, 20)).toBeGreaterThan(0);
  const worker = await place.connect();
  onTestFinished(() => worker.close());
  expect(await leafDelays(place.store, worker, 5)).toEqual({
    submit: Array(5).fill(expect.any(Number)),
    claim: Array(5).fill(expect.any(Number)),
  });
  expect(await place.bull.delays(5)).toEqual({ add: Array(5).fill(expect.any(Number)), start: Array(5).fill(expect.any(Number)) });
  expect(await place.store.backlog()).toEqual({ ready: 0, running: 0 });
});

test("a leaf that was swept takes less than a finished one, and many of them leave nothing behind", async () => {
  const place = await Place.start("everysec");
  onTestFinished(() => place[Symbol.asyncDispose]());
  const samples = new Samples();
  await measureBytes(place, 2000, samples);
  await measureFlatness(place, 400, samples, () => undefined);
  const { rows } = samples.report("dispatch", {});
  const [finished, swept, gone] = ["bytes_per_leaf", "swept_leaf_bytes", "gone_leaf_bytes"].map(
    (metric) => rows.find((row) => row.metric === metric)?.p50 ?? Number.NaN,
  ) as [number, number, number];
  expect(finished).toBeGreaterThan(swept);
  expect(swept).toBeGreaterThan(gone);
});
