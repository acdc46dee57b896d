import { fullJitter } from "@serverless-harness/kit/backoff";

/** How a brain ended. */
export interface BrainExit {
  /** By itself, with exit code 0. */
  readonly clean: boolean;
  /** How, for a human, as `killed by SIGKILL`. */
  readonly note: string;
  /** Milliseconds from its start. */
  readonly livedMs: number;
  /** No brain can work until somebody mends this: what is wrong, and what to do, for people. */
  readonly problem?: string;
}

/** Bounds of {@link RestartPolicy}. */
export interface RestartBounds {
  /** First wait in milliseconds, doubled each time. */
  readonly baseMs: number;
  readonly maxMs: number;
  /** Where the jitter comes from: 0 to 1. Default `Math.random`. */
  readonly random?: () => number;
}

/** A brain that lived this long has done something, so what it died of is not what the ones before died of. */
const STEADY_MS = 10_000;
/** A brain may die of many things; one after the other, so many say that none can work. */
const CRASHES_ARE_A_PROBLEM = 3;
/** A brain may miss work that arrives while it ends. One that leaves work behind more often than this doesn't see it. */
const MISSES_ALLOWED = 3;

/** Says how long to wait before the next brain, so that brains which can't work don't keep the machine busy. */
export class RestartPolicy {
  readonly #bounds: RestartBounds;
  #crashes = 0;
  #misses = 0;

  constructor(bounds: RestartBounds) {
    this.#bounds = bounds;
  }

  /** Milliseconds to wait before a new brain. `workLeft`: something was ready when this one was gone. */
  delayAfter(exit: BrainExit, workLeft: boolean): number {
    if (exit.livedMs >= STEADY_MS) this.#crashes = this.#misses = 0;
    if (!exit.clean) return this.#jitter(++this.#crashes);
    this.#crashes = 0;
    this.#misses = workLeft ? this.#misses + 1 : 0;
    return this.#misses > MISSES_ALLOWED ? this.#jitter(this.#misses - MISSES_ALLOWED) : 0;
  }

  /** Brains come to nothing again and again, in words for people; `undefined` if the last ones did not. */
  problemAfter({ note }: BrainExit): string | undefined {
    const cause = "the log of the brains has the cause (`leaf logs brain`, or DISPATCHER_BRAIN_LOG)";
    if (this.#crashes >= CRASHES_ARE_A_PROBLEM) return `${this.#crashes} brains died in a row, the last one ${note}; ${cause}`;
    if (this.#misses > MISSES_ALLOWED) return `${this.#misses} brains in a row ended without taking up what waits; ${cause}`;
    return undefined;
  }

  #jitter(attempt: number): number {
    const { baseMs, maxMs, random } = this.#bounds;
    return fullJitter(attempt, baseMs, maxMs, random);
  }
}
