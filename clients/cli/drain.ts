import { atWorkText, type LeafAtWork, leavesAtWork, waitUntilIdle } from "./at-work.ts";
import type { Context } from "./context.ts";
import { type DownResult, stopStack } from "./stack/down.ts";
import { liveRecord } from "./stack/record.ts";

/** What was stopped, and the leaves that were suspended by it. */
export interface Drained extends DownResult {
  readonly atWork: readonly LeafAtWork[];
}

/**
 * Stop the stack of the state directory, after it was told what that suspends; `wait`: once no leaf is at work any more. The caller holds the lock.
 */
export async function drainStack(context: Context, wait: boolean): Promise<Drained> {
  const { out, paths } = context;
  // What is stopped is asked, whatever LEAF_URL says.
  const local = { ...context, config: { ...context.config, url: undefined } };
  let atWork: readonly LeafAtWork[] = [];
  if (liveRecord(paths, "dispatcher") !== undefined) {
    if (wait) await waitUntilIdle(local);
    // Whatever ails the dispatcher, it is to be stopped.
    atWork = await leavesAtWork(local).catch((error: unknown) => unasked(out, error));
    for (const leaf of atWork) out.note(ending(leaf));
  }
  return { atWork, ...(await stopStack(paths)) };
}

/** What becomes of a leaf at work. */
function ending(leaf: LeafAtWork): string {
  const calls = leaf.calls.length === 0 ? "" : "; what its calls run is ended, and its model is told so";
  return `suspends ${atWorkText(leaf)}${calls}`;
}

function unasked(out: Context["out"], error: unknown): [] {
  out.warn(`what is at work is not known, since the dispatcher can't be asked: ${error instanceof Error ? error.message : String(error)}`);
  return [];
}
