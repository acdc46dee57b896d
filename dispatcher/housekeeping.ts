import type { Logger } from "@serverless-harness/kit/log";
import type { Retained, Retention } from "@serverless-harness/session";

const INTERVAL_MS = 60_000;
/** Leaves removed in one step of the store. */
const STEP = 200;

/** Removes what was kept for long enough, a step at a time. Several dispatchers may do so on one store. */
export class Housekeeping {
  readonly #store: Retained;
  readonly #retention: Retention;
  readonly #log: Logger;
  #timer: NodeJS.Timeout | undefined;
  #sweeping: Promise<void> | undefined;
  #stopped = false;

  constructor(store: Retained, retention: Retention, log: Logger) {
    this.#store = store;
    this.#retention = retention;
    this.#log = log;
  }

  /** Sweep now and once a minute. */
  start(): void {
    this.#sweep();
    this.#timer = setInterval(() => this.#sweep(), INTERVAL_MS);
  }

  /** Sweep no more; resolves when the step that is under way is done. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearInterval(this.#timer);
    await this.#sweeping;
  }

  #sweep(): void {
    this.#sweeping ??= this.#sweepAll()
      .catch((error: unknown) => this.#log.warn({ err: error }, "leaves that were kept for long enough could not be removed: tried again"))
      .finally(() => {
        this.#sweeping = undefined;
      });
  }

  async #sweepAll(): Promise<void> {
    let total = 0;
    for (let removed = STEP; removed === STEP && !this.#stopped; total += removed) removed = await this.#store.sweep(this.#retention, STEP);
    if (total > 0) this.#log.info({ removed: total }, "leaves and tombstones were kept for long enough");
  }
}
