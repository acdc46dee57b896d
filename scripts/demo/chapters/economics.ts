import type { Finding } from "../claims.ts";
import type { World } from "../world.ts";

/** What the brains cost: the seconds that they lived, against the seconds that an agent would have been kept for. */
export async function economics(world: World, sinceMs: number): Promise<Finding> {
  const wall_s = round(((await world.noBrain()) - sinceMs) / 1000);
  const brain_s = round(await world.brainSeconds());
  return {
    holds: brain_s > 0 && brain_s < wall_s,
    seen: `${brain_s} brain-seconds in ${wall_s} s of wall time, in a story that hardly ever rests; an agent at rest costs none`,
    measured: { brain_s, wall_s, share: round(brain_s / wall_s) },
  };
}

function round(seconds: number): number {
  return Math.round(seconds * 100) / 100;
}
