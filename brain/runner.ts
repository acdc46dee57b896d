import type { Logger } from "@serverless-harness/kit/log";
import type { Worker } from "@serverless-harness/proto/leaf";
import type { Claim, LeafStore } from "@serverless-harness/session";
import type { LeafRun } from "./leaf/leaf-run.ts";

/** What a runner works with. */
export interface RunnerOptions {
  readonly store: LeafStore;
  readonly worker: Worker;
  /** Leaves at once. */
  readonly concurrency: number;
  readonly leaseMs: number;
  /** Idle for this long, it is done. */
  readonly graceMs: number;
  readonly createRun: (claim: Claim) => LeafRun;
  readonly log: Logger;
}

/** What was done. */
export interface Counts {
  claimed: number;
  /** Leaves that reached a terminal state. */
  finished: number;
  /** Leaves let go of in another way. */
  released: number;
}

/** Longest wait for work while leaves run; it only bounds what a lost hint costs. */
const LONGEST_WAIT_MS = 5000;
/** The store is asked again after an error, this often before the brain gives up. */
const STORE_ERRORS = 10;
const STORE_ERROR_WAIT_MS = 500;

/** Claims leaves and runs them, many at once, until there is nothing to do. */
export class Runner {
  readonly #options: RunnerOptions;
  readonly #runs = new Map<LeafRun, Promise<void>>();
  readonly #draining = new AbortController();
  #current: Promise<Counts> | undefined;
  #storeErrors = 0;

  constructor(options: RunnerOptions) {
    this.#options = options;
  }

  /** Work until idle, and tell what was done. A second call meanwhile joins the first. Rejects if the store stays out of reach. */
  runUntilIdle(): Promise<Counts> {
    this.#current ??= this.#run().finally(() => {
      this.#current = undefined;
    });
    return this.#current;
  }

  /** Claim no more, hand every leaf back at once; resolves when all are. */
  async drain(): Promise<void> {
    this.#draining.abort();
    for (const run of this.#runs.keys()) run.suspend();
    await Promise.all(this.#runs.values());
  }

  async #run(): Promise<Counts> {
    const { concurrency, graceMs } = this.#options;
    const counts = { claimed: 0, finished: 0, released: 0 };
    const { signal } = this.#draining;
    let idleSince = performance.now();
    while (!signal.aborted) {
      const claimed = this.#runs.size < concurrency && (await this.#claimNext(counts));
      if (claimed) continue;
      if (this.#runs.size > 0) {
        await this.#wait(LONGEST_WAIT_MS);
        // The grace begins with the end of the last leaf, not with the last look for another.
        idleSince = performance.now();
        continue;
      }
      const left = idleSince + graceMs - performance.now();
      if (left <= 0) break;
      await this.#wait(left);
    }
    await Promise.all(this.#runs.values());
    return counts;
  }

  async #claimNext(counts: Counts): Promise<boolean> {
    const { store, worker, leaseMs, createRun, log } = this.#options;
    try {
      const claim = await store.claim(worker, leaseMs);
      this.#storeErrors = 0;
      if (claim === undefined) return false;
      counts.claimed++;
      this.#start(createRun(claim), counts);
      return true;
    } catch (error) {
      if (++this.#storeErrors >= STORE_ERRORS) throw error;
      log.warn({ err: error }, "no leaf could be claimed: the store is asked again");
      await new Promise((resolve) => setTimeout(resolve, STORE_ERROR_WAIT_MS));
      return false;
    }
  }

  #start(run: LeafRun, counts: Counts): void {
    const done = run.run().then((end) => {
      counts[end]++;
      this.#runs.delete(run);
    });
    this.#runs.set(run, done);
    // A leaf that was claimed while the drain began was not told of it.
    if (this.#draining.signal.aborted) run.suspend();
  }

  /** Until a leaf ends, until there may be work that fits in, or for the given time. */
  async #wait(timeoutMs: number): Promise<void> {
    const stop = new AbortController();
    const signal = AbortSignal.any([stop.signal, this.#draining.signal]);
    const full = this.#runs.size >= this.#options.concurrency;
    const work = full ? [] : [this.#options.store.waitForWork(timeoutMs, signal)];
    await Promise.race([...this.#runs.values(), ...work]);
    stop.abort();
  }
}
