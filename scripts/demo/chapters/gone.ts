import { type Finding, time } from "../claims.ts";
import type { Turn, World } from "../world.ts";

/** The brain ends by itself once there is nothing to think about. */
export async function gone(world: World, turn: Turn): Promise<Finding> {
  const atMs = await world.noBrain();
  const brains = world.processes("brain").length;
  const gone_ms = atMs - turn.endedAtMs;
  return {
    holds: brains === 0,
    seen: `${brains} brains ${time(gone_ms)} after the answer (its grace is 2 s); ${world.processes().length} processes left`,
    measured: { gone_ms, brains },
  };
}
