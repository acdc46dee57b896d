import { Code } from "@connectrpc/connect";
import { HarnessError } from "@serverless-harness/kit/errors";
import { type LeafEvent, LeafState, type StateChanged } from "@serverless-harness/proto/leaf";
import { WAITS_FOR_ROOM } from "@serverless-harness/session";

/** When a caller who was told that there is no room may ask again, in milliseconds. */
const RETRY_AFTER_MS = 5000;

/** A leaf waits for a sandbox of the pool that has room. */
export function waitsForRoom({ state, note }: StateChanged): boolean {
  return state === LeafState.SUSPENDED && note.startsWith(WAITS_FOR_ROOM);
}

/**
 * A leaf's events, for a caller who waits for its end. RESOURCE_EXHAUSTED `saturated` if the leaf has waited for room in a sandbox for `patienceMs` on
 * end: it goes on waiting, and burns no attempt. `follow`: the events, until `call` aborts.
 */
export async function* untilSaturated(
  follow: (call: AbortSignal) => AsyncIterable<LeafEvent>,
  patienceMs: number,
  call: AbortSignal,
): AsyncGenerator<LeafEvent> {
  const enough = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  try {
    for await (const each of follow(AbortSignal.any([call, enough.signal]))) {
      const change = each.event.case === "stateChanged" ? each.event.value : undefined;
      if (change !== undefined && waitsForRoom(change)) timer ??= setTimeout(() => enough.abort(), patienceMs);
      else if (change?.state !== LeafState.RUNNING) {
        // A brain that takes it up looks for room first.
        clearTimeout(timer);
        timer = undefined;
      }
      yield each;
    }
  } finally {
    clearTimeout(timer);
  }
  if (enough.signal.aborted && !call.aborted) throw saturated(patienceMs);
}

function saturated(patienceMs: number): HarnessError {
  const text = `no sandbox has had room for the leaf for ${patienceMs / 1000} s: it goes on waiting, so ask for it again later, cancel it, or add a sandbox`;
  return new HarnessError(Code.ResourceExhausted, "saturated", text, { retryAfterMs: RETRY_AFTER_MS });
}
