import { setImmediate as nextTurn } from "node:timers/promises";

/** Work goes on for this time before everything else in the process gets its turn. */
const SLICE_MS = 3;

/** Cuts long work into slices, so that it holds up nobody else in the process. `if (pacer.due) await pacer.rest()` in every round. */
export class Pacer {
  #until = performance.now() + SLICE_MS;
  readonly #signal: AbortSignal | undefined;

  /** After `signal`, {@link rest} throws its reason. */
  constructor(signal?: AbortSignal) {
    this.#signal = signal;
  }

  get due(): boolean {
    return performance.now() >= this.#until;
  }

  async rest(): Promise<void> {
    await nextTurn();
    this.#signal?.throwIfAborted();
    this.#until = performance.now() + SLICE_MS;
  }
}
