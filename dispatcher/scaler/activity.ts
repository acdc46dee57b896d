import { setTimeout as sleep } from "node:timers/promises";
import type { Logger } from "@serverless-harness/kit/log";
import type { LeafStore } from "@serverless-harness/session";

/** The queue is looked at this often, whatever it announces. */
const LOOK_EVERY_MS = 30_000;
const STORE_RETRY_MS = 1000;
/** A store that says that something changed where nothing did must not make a busy loop. */
const PAUSE_MS = 50;

/** Whether there is work: something is ready or runs. The store is watched once for all who want to know, and only while somebody does. */
export class Activity {
  readonly #store: Pick<LeafStore, "backlog" | "waitForWork" | "waitForIdle">;
  readonly #log: Logger;
  #changed = Promise.withResolvers<void>();
  /** `undefined` until it is known, and while the store is out of reach. */
  #active: boolean | undefined;
  #followers = 0;
  #watching: AbortController | undefined;

  constructor(store: Pick<LeafStore, "backlog" | "waitForWork" | "waitForIdle">, log: Logger) {
    this.#store = store;
    this.#log = log;
  }

  /**
   * The state as it is, at each change, and again after each `repeatMs` without one. Nothing is said while the store is out of reach. Ends when
   * `signal` aborts.
   */
  async *states(repeatMs: number, signal: AbortSignal): AsyncGenerator<boolean> {
    this.#join();
    try {
      let told: boolean | undefined;
      while (!signal.aborted) {
        const changed = this.#changed.promise;
        if (this.#active !== undefined && this.#active !== told) {
          told = this.#active;
          yield told;
        } else if (!(await within(changed, repeatMs, signal)) && told !== undefined && this.#active === told && !signal.aborted) {
          yield told;
        }
      }
    } finally {
      this.#leave();
    }
  }

  #join(): void {
    this.#followers += 1;
    if (this.#watching !== undefined) return;
    this.#watching = new AbortController();
    void this.#watch(this.#watching.signal);
  }

  #leave(): void {
    this.#followers -= 1;
    if (this.#followers > 0) return;
    this.#watching?.abort();
    this.#watching = undefined;
    this.#active = undefined;
  }

  async #watch(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const active = await this.#look();
      if (signal.aborted) return;
      const isNews = active !== this.#active;
      this.#active = active;
      if (isNews) {
        this.#changed.resolve();
        this.#changed = Promise.withResolvers();
      }
      if (active === undefined) await sleep(STORE_RETRY_MS, undefined, { signal }).catch(() => undefined);
      else if (!isNews) await sleep(PAUSE_MS, undefined, { signal }).catch(() => undefined);
      if (active === true) await this.#store.waitForIdle(LOOK_EVERY_MS, signal);
      if (active === false) await this.#store.waitForWork(LOOK_EVERY_MS, signal);
    }
  }

  async #look(): Promise<boolean | undefined> {
    try {
      const { ready, running } = await this.#store.backlog();
      return ready + running > 0;
    } catch (error) {
      if (this.#active !== undefined) this.#log.error({ err: error }, "the queue can't be read: the autoscaler hears nothing until it can");
      return undefined;
    }
  }
}

/** Wait for `promise`; false if it took longer than `ms`, or `signal` aborted. */
async function within(promise: Promise<void>, ms: number, signal: AbortSignal): Promise<boolean> {
  const over = new AbortController();
  const late = sleep(ms, false, { signal: AbortSignal.any([signal, over.signal]) }).catch(() => false);
  const inTime = await Promise.race([promise.then(() => true), late]);
  over.abort();
  return inTime;
}
