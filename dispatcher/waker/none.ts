import type { Waker, WakerStatus } from "./waker.ts";

/** Wakes nobody: brains are started by someone else, as an operator. */
export const noWaker: Waker = silent("none");

/** Calls nobody: KEDA asks the dispatcher's external scaler, or is told by its stream, and starts brains. */
export const kedaWaker: Waker = silent("keda");

function silent(kind: WakerStatus["kind"]): Waker {
  return {
    start: () => undefined,
    wake: () => undefined,
    status: () => ({ kind, brains: [], brainsStarted: 0, brainsCrashed: 0, brainSeconds: 0 }),
    stop: async () => undefined,
  };
}
