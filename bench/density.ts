import type { Benchmark, BenchmarkOptions } from "./benchmark.ts";
import { eventDelays } from "./density/delay.ts";
import { House } from "./density/house.ts";
import { watchMemory } from "./density/memory.ts";
import { streaming, waiting } from "./density/prompts.ts";
import { Samples } from "./report/samples.ts";

/** Leaves in one brain. */
const LEAVES = 200;
/** Brains of one leaf each, of which the rest is extrapolated: two hundred of them take more memory than many machines have. */
const PROCESSES = 10;
/** How many of the others stream while one leaf's events are timed. */
const STREAMING = 50;

/** Leaves that wait for a slow model: the memory of one brain that runs all of them next to a brain for each, and what one leaf notices of the others. */
export const density: Benchmark = async (options) => {
  const samples = new Samples();
  for (let round = 1; round <= (options.quick ? 1 : 3); round++) {
    options.progress(`round ${round}: ${LEAVES} leaves in one brain`);
    await measureCrowd(options, samples);
    options.progress(`round ${round}: ${PROCESSES} brains of one leaf`);
    await measureProcesses(options, samples);
  }
  return samples.report("density", {
    "rss_200/processes": ["rss_200_mb", "rss_200_processes_mb"],
    "pss_200/processes": ["pss_200_mb", "pss_200_processes_mb"],
    "event_delay/alone": ["event_delay_ms", "event_delay_alone_ms"],
  });
};

async function measureCrowd({ quick, jail }: BenchmarkOptions, samples: Samples): Promise<void> {
  await using house = await House.open(jail);
  const brain = house.startBrain(LEAVES);
  const first = await house.submit(waiting("Leaf 0."));
  await house.untilOpen(1);
  const one = await watchMemory(brain, quick ? 5 : 20);
  samples.add(
    "rss_1_mb",
    one.map(({ rss }) => rss),
  );
  for (let leaf = 1; leaf < LEAVES; leaf++) await house.submit((leaf <= STREAMING ? streaming : waiting)(`Leaf ${leaf}.`));
  await house.untilOpen(LEAVES);
  const memory = await watchMemory(brain, quick ? 30 : 100);
  samples.add(
    "rss_200_mb",
    memory.map(({ rss }) => rss),
  );
  samples.add(
    "pss_200_mb",
    memory.map(({ pss }) => pss),
  );
  // Its place is taken by the one whose events are timed.
  await house.store.cancel(first, "bench");
  samples.add("event_delay_ms", await eventDelays(house, quick ? 30 : 100));
}

/** Brains of one leaf each at the same time, then the events of a leaf that has a brain to itself. */
async function measureProcesses({ quick, jail }: BenchmarkOptions, samples: Samples): Promise<void> {
  await using house = await House.open(jail);
  for (let leaf = 0; leaf < PROCESSES; leaf++) await house.submit(waiting(`Leaf ${leaf}.`));
  const brains = Array.from({ length: PROCESSES }, () => house.startBrain(1));
  await house.untilOpen(PROCESSES);
  for (const brain of brains) {
    const memory = await watchMemory(brain, 1);
    samples.add(
      "rss_200_processes_mb",
      memory.map(({ rss }) => rss * LEAVES),
    );
    samples.add(
      "pss_200_processes_mb",
      memory.map(({ pss }) => pss * LEAVES),
    );
  }
  house.startBrain(1);
  samples.add("event_delay_alone_ms", await eventDelays(house, quick ? 30 : 100));
}
