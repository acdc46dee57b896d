import type { Benchmark, BenchmarkOptions } from "./benchmark.ts";
import { leafDelays, leavesPerSecond } from "./dispatch/leaves.ts";
import { measureBytes, measureFlatness } from "./dispatch/memory.ts";
import { Place } from "./dispatch/place.ts";
import { Samples } from "./report/samples.ts";

const IN_FLIGHT = [1, 10, 100] as const;
/** Leaves, or jobs, of one measured block. */
const BLOCK = { 1: 300, 10: 1000, 100: 2000 } as const;
/** Leaves whose delays are measured in one round. */
const DELAYS = 30;
/** Leaves behind which the memory has to be what it was. */
const MANY = 100_000;

/** Submitting, claiming and finishing leaves against BullMQ's add, process and remove on the same Redis, per way of syncing; then memory. */
export const dispatch: Benchmark = async (options) => {
  await using everysec = await Place.start("everysec");
  await using always = await Place.start("always");
  const samples = new Samples();
  const rounds = options.quick ? 3 : 15;
  for (let round = 0; round <= rounds; round++) {
    options.progress(`leaves: round ${round} of ${rounds}`);
    // The first round warms up.
    const into = round === 0 ? new Samples() : samples;
    for (const place of [everysec, always]) await measureRound(place, into);
  }
  await measureMemory(everysec, options, samples);
  return samples.report("dispatch", {
    "leaves_1/bullmq": ["leaves_1_per_s", "bullmq_1_per_s"],
    "leaves_10/bullmq": ["leaves_10_per_s", "bullmq_10_per_s"],
    "leaves_100/bullmq": ["leaves_100_per_s", "bullmq_100_per_s"],
    "leaves_1_always/bullmq": ["leaves_1_always_per_s", "bullmq_1_always_per_s"],
    "leaves_10_always/bullmq": ["leaves_10_always_per_s", "bullmq_10_always_per_s"],
    "leaves_100_always/bullmq": ["leaves_100_always_per_s", "bullmq_100_always_per_s"],
    "submit/bullmq": ["submit_ms", "bullmq_add_ms"],
    "submit_claim/bullmq": ["submit_claim_ms", "bullmq_add_start_ms"],
  });
};

/** Short blocks, ours and the baseline's in turn, so that what disturbs the machine disturbs both. */
async function measureRound(place: Place, samples: Samples): Promise<void> {
  const suffix = place.sync === "everysec" ? "" : "_always";
  for (const inFlight of IN_FLIGHT) {
    samples.add(`leaves_${inFlight}${suffix}_per_s`, [await leavesPerSecond(place.store, inFlight, BLOCK[inFlight])]);
    samples.add(`bullmq_${inFlight}${suffix}_per_s`, [await place.bull.perSecond(inFlight, BLOCK[inFlight])]);
  }
  const worker = await place.connect();
  const ours = await leafDelays(place.store, worker, DELAYS);
  await worker.close();
  const theirs = await place.bull.delays(DELAYS);
  samples.add(`submit${suffix}_ms`, ours.submit);
  samples.add(`bullmq_add${suffix}_ms`, theirs.add);
  samples.add(`submit_claim${suffix}_ms`, ours.claim);
  samples.add(`bullmq_add_start${suffix}_ms`, theirs.start);
}

async function measureMemory(place: Place, { quick, progress }: BenchmarkOptions, samples: Samples): Promise<void> {
  progress("memory of finished leaves");
  // The leaves of the rounds before are in nobody's way.
  while ((await place.store.sweep({ leafMs: 0, tombstoneMs: 0 }, 1000)) > 0);
  await measureBytes(place, quick ? 2000 : 10_000, samples);
  await measureFlatness(place, quick ? MANY / 25 : MANY, samples, progress);
}
