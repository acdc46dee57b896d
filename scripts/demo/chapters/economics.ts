import { setTimeout as sleep } from "node:timers/promises";
import type { Finding } from "../claims.ts";
import type { World } from "../world.ts";

const REST_SECONDS = 8;

/** What brains cost: they live while there is work, and not a moment of a rest. */
export async function economics(world: World, sinceMs: number): Promise<Finding> {
  await world.noBrain();
  const before_s = await world.brainSeconds();
  await sleep(REST_SECONDS * 1000);
  const after_s = await world.brainSeconds();
  const brain_s = round(after_s);
  const wall_s = round((Date.now() - sinceMs) / 1000);
  const rest_brain_s = round(after_s - before_s);
  return {
    holds: brain_s > 0 && brain_s < wall_s && rest_brain_s === 0 && world.processes("brain").length === 0,
    seen: `${brain_s} brain-seconds in ${wall_s} s of wall time; ${rest_brain_s} of them in the ${REST_SECONDS} s of rest at the end, where an agent that stays would have idled`,
    measured: { brain_s, wall_s, rest_s: REST_SECONDS, rest_brain_s, share: round(brain_s / wall_s) },
  };
}

function round(seconds: number): number {
  return Math.round(seconds * 100) / 100;
}
