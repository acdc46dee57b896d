import { Code } from "@connectrpc/connect";
import { HarnessError } from "@serverless-harness/kit/errors";
import { FailureReason, type Leaf, LeafState, type StateChanged } from "@serverless-harness/proto/leaf";
import { isTerminal } from "@serverless-harness/session";
import type { Caller } from "../callers/caller.ts";
import type { Leaves } from "../leaves.ts";
import { waitsForRoom } from "../saturation.ts";

/** Where a run that was waited for stands: over or paused, or it waits for a sandbox that has no room or is away. */
export type Rested = { readonly kind: "rests"; readonly leaf: Leaf } | { readonly kind: "saturated" };

/**
 * Wait until a leaf is over or waits for a human. `saturatedAfterMs`: one that is tried again for so long for want of a sandbox is waited for no
 * further. CANCELLED if the client goes away before.
 */
export async function untilRest(leaves: Leaves, caller: Caller, begun: Leaf, saturatedAfterMs: number, gone: AbortSignal): Promise<Rested> {
  if (rests(begun)) return { kind: "rests", leaf: begun };
  const enough = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  let isForRoom = false;
  try {
    for await (const { event } of leaves.follow(begun.leafId, begun.lastSeq, AbortSignal.any([gone, enough.signal]))) {
      if (event.case === "toolStarted" || (isForRoom && event.case === "modelCallStarted")) {
        clearTimeout(timer);
        timer = undefined;
      }
      if (event.case !== "stateChanged") continue;
      if (timer === undefined) isForRoom = waitsForRoom(event.value);
      if (wantsSandbox(event.value) || waitsForRoom(event.value)) timer ??= setTimeout(() => enough.abort(), saturatedAfterMs);
      // A human may have answered meanwhile: the record says what is so now.
      const leaf = restsAt(event.value) ? await leaves.record(caller, begun.leafId) : undefined;
      if (leaf !== undefined && rests(leaf)) return { kind: "rests", leaf };
    }
  } finally {
    clearTimeout(timer);
  }
  if (enough.signal.aborted && !gone.aborted) return { kind: "saturated" };
  throw new HarnessError(Code.Canceled, "client_gone", "the client went away; the run goes on");
}

function rests({ state }: Leaf): boolean {
  return isTerminal(state) || state === LeafState.AWAITING_APPROVAL;
}

function restsAt({ state }: StateChanged): boolean {
  return isTerminal(state) || state === LeafState.AWAITING_APPROVAL;
}

function wantsSandbox({ state, failure }: StateChanged): boolean {
  return state === LeafState.RETRYING && failure?.reason === FailureReason.SANDBOX_UNAVAILABLE;
}
