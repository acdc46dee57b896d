import { LeafState } from "@serverless-harness/proto/leaf";
import { type Finding, time } from "../claims.ts";
import type { World } from "../world.ts";

const LEAVES = 5;
const COMMAND_SECONDS = 1;

/** Leaves that are submitted and not waited for; all of them end, side by side. */
export async function fanOut(world: World): Promise<Finding> {
  const startedAtMs = Date.now();
  const submitted = await Promise.all(
    Array.from({ length: LEAVES }, (_, i) =>
      world.leaves.submit({ spec: { prompt: `Run: sleep ${COMMAND_SECONDS}; echo leaf ${i + 1}` } }),
    ),
  );
  const submit_ms = Date.now() - startedAtMs;
  const ends = await Promise.all(submitted.map(({ leaf }) => endOf(world, leaf?.leafId ?? "")));
  const all_done_ms = Date.now() - startedAtMs;
  const done = ends.filter(({ state }) => state === LeafState.DONE).length;
  const brains = new Set(ends.map(({ brain }) => brain)).size;
  return {
    holds: done === LEAVES,
    seen:
      `submitted in ${time(submit_ms)}, ${done} of ${LEAVES} done after ${time(all_done_ms)} ` +
      `(one after the other: ${LEAVES * COMMAND_SECONDS} s in their commands alone), in ${brains} brain${brains === 1 ? "" : "s"}`,
    measured: { leaves: LEAVES, done, submit_ms, all_done_ms, brains },
  };
}

async function endOf(world: World, leafId: string): Promise<{ state: LeafState; brain: string }> {
  let end: { state: LeafState; brain: string } = { state: LeafState.UNSPECIFIED, brain: "" };
  for await (const { event } of world.leaves.watch({ leafId }, { timeoutMs: 25_000 })) {
    if (event?.event.case !== "stateChanged") continue;
    end = { state: event.event.value.state, brain: event.event.value.worker?.name ?? end.brain };
  }
  return end;
}
