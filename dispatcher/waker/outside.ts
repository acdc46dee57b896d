import { setTimeout as sleep } from "node:timers/promises";
import type { Logger } from "@serverless-harness/kit/log";
import type { LeafStore } from "@serverless-harness/session";
import type { Waker, WakerStatus } from "./waker.ts";

/** What {@link OutsideWaker} needs. */
export interface OutsideWakerOptions {
  readonly kind: "none" | "keda";
  readonly store: LeafStore;
  readonly log: Logger;
  /** Leaves that nobody took for so long, in milliseconds, are a problem: a platform may need a while for a brain. Default 30 s. */
  readonly patienceMs?: number;
}

const PATIENCE_MS = 30_000;
/** The queue is looked at this often while something waits in it. */
const LOOK_EVERY_MS = 2000;
const LONGEST_WAIT_MS = 30_000;

const WHO_STARTS_BRAINS = {
  none: "this dispatcher starts none (DISPATCHER_WAKER=none): start one on this leaf store",
  keda: "KEDA starts them (DISPATCHER_WAKER=keda): look at its ScaledObject or ScaledJob, and at the pods of the brains",
};

/** Wakes nobody: brains are started by someone else, as an operator, or KEDA, which asks the dispatcher's scaler. It only sees whether any came. */
export class OutsideWaker implements Waker {
  readonly #options: OutsideWakerOptions;
  readonly #stopping = new AbortController();
  #running: Promise<void> | undefined;
  /** Leaves that are ready while no brain works on anything. */
  #ready = 0;
  /** Since when, by `performance.now()`. */
  #since: number | undefined;
  #isTold = false;

  constructor(options: OutsideWakerOptions) {
    this.#options = options;
  }

  start(): void {
    this.#running ??= this.#run();
  }

  wake(): void {
    // Nobody is there to be woken.
  }

  status(): WakerStatus {
    const { kind } = this.#options;
    const problem = this.#problem();
    return { kind, brains: [], brainsStarted: 0, brainsCrashed: 0, brainSeconds: 0, ...(problem === undefined ? {} : { problem }) };
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { store, log } = this.#options;
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      const backlog = await store.backlog().catch((error: unknown) => {
        log.error({ err: error }, "the queue can't be read");
        return undefined;
      });
      this.#ready = backlog === undefined || backlog.running > 0 ? 0 : backlog.ready;
      this.#since = this.#ready === 0 ? undefined : (this.#since ?? performance.now());
      this.#tell();
      if (backlog?.ready === 0) await store.waitForWork(LONGEST_WAIT_MS, signal);
      else await sleep(LOOK_EVERY_MS, undefined, { signal }).catch(() => undefined);
    }
  }

  /** Log what is wrong, once for as long as it is. */
  #tell(): void {
    const problem = this.#problem();
    if (problem !== undefined && !this.#isTold) this.#options.log.error({ problem }, "no brain comes");
    this.#isTold = problem !== undefined;
  }

  #problem(): string | undefined {
    const { kind, patienceMs = PATIENCE_MS } = this.#options;
    const waitedMs = this.#since === undefined ? 0 : performance.now() - this.#since;
    if (this.#since === undefined || waitedMs < patienceMs) return undefined;
    const leaves = this.#ready === 1 ? "1 leaf is" : `${this.#ready} leaves are`;
    return `${leaves} ready, and for ${Math.round(waitedMs / 1000)} s no brain took any; ${WHO_STARTS_BRAINS[kind]}`;
  }
}
