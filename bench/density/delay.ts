import { LeafState } from "@serverless-harness/proto/leaf";
import type { House } from "./house.ts";
import { clock } from "./prompts.ts";

/**
 * Milliseconds from the moment at which a command of a leaf wrote its output to that at which a follower of the leaf has it in hands: sandbox,
 * brain, log. So many commands of one leaf.
 */
export async function eventDelays(house: House, count: number): Promise<number[]> {
  const leafId = await house.submit(clock("A clock.", count));
  const delays: number[] = [];
  for await (const { event } of house.store.follow(leafId, 0n, new AbortController().signal)) {
    // The same clock as the command's, in whole milliseconds.
    if (event.case === "toolEnded") delays.push(Math.max(0, Date.now() - Number(event.value.text.trim()) / 1e6));
    if (event.case === "stateChanged" && event.value.failure !== undefined)
      throw new Error(`the clock failed: ${event.value.failure.message}`);
    if (event.case === "stateChanged" && event.value.state === LeafState.DONE) break;
  }
  if (delays.length !== count || delays.some(Number.isNaN)) throw new Error(`the clock did not tick ${count} times: ${delays}`);
  return delays;
}
