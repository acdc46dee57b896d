import { openLeafStore } from "@serverless-harness/session";
import type { Benchmark } from "./benchmark.ts";
import { watchMemory } from "./density/memory.ts";
import { followerDelays, watcherDelays } from "./door/delays.ts";
import { Door } from "./door/door.ts";
import { Samples } from "./report/samples.ts";

const LEAVES = 100;
const WATCHERS = 1000;

/** A dispatcher with a thousand watchers of a hundred leaves: its memory, and how long an event takes to reach them. */
export const door: Benchmark = async ({ quick, progress }) => {
  const samples = new Samples();
  const looks = quick ? 5 : 50;
  for (let round = 1; round <= (quick ? 1 : 3); round++) {
    progress(`round ${round}: ${WATCHERS} watchers of ${LEAVES} leaves`);
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
  return samples.report("door", { "event_to_watcher/follower": ["event_to_watcher_ms", "event_to_follower_ms"] });
};
