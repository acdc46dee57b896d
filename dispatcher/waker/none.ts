import type { Waker } from "./waker.ts";

/** Wakes nobody: brains are started by someone else, as an autoscaler or an operator. */
export const noWaker: Waker = {
  start: () => undefined,
  wake: () => undefined,
  status: () => ({ kind: "none", brains: [], brainsStarted: 0, brainsCrashed: 0, brainSeconds: 0 }),
  stop: async () => undefined,
};
