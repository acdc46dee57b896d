import { BareNode } from "./bare-node.ts";
import type { Job } from "./job.ts";

/** Spawns before a measurement, so that the code which spawns is compiled. */
const WARM_UP = 40;

/**
 * Run a job that spawns in a bare Node process of its own: after some hundred spawns a process has outgrown the size at which it is a
 * fair baseline. `sizes` gets its resident memory behind the job, in bytes; throws where that is too much.
 */
export async function inFreshNode(job: Job, sizes: number[]): Promise<readonly number[]> {
  const node = new BareNode();
  try {
    await node.run({ kind: "spawn", count: WARM_UP, gapMs: 0 });
    const samples = await node.run(job);
    sizes.push(await node.fairSize());
    return samples;
  } finally {
    await node.close();
  }
}
