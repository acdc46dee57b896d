import { setTimeout as sleep } from "node:timers/promises";
import { childrenOf } from "@serverless-harness/kit/proc";

/** Between two looks, in milliseconds: a lifetime is known to twice as much, and taken as the longest that it can be. */
const LOOK_MS = 5;

/** A process's life, milliseconds since the Unix epoch. */
export interface Life {
  readonly fromMs: number;
  readonly toMs: number;
}

/** Watches the brains of a dispatcher from outside: its child processes, as the kernel lists them. */
export class Lifetimes {
  readonly #dispatcherPid: number;
  readonly #timer: NodeJS.Timeout;
  readonly #past: Life[] = [];
  readonly #living = new Map<number, number>();
  #lookedMs = Date.now();

  constructor(dispatcherPid: number) {
    this.#dispatcherPid = dispatcherPid;
    this.#timer = setInterval(() => this.#look(), LOOK_MS);
  }

  /** Every life so far, in the order of their ends; those that go on end now. */
  lives(): readonly Life[] {
    this.#look();
    return [...this.#past, ...[...this.#living.values()].map((fromMs) => ({ fromMs, toMs: this.#lookedMs }))];
  }

  /** Resolves when no brain lives. */
  async gone(): Promise<void> {
    for (this.#look(); this.#living.size > 0; ) await sleep(LOOK_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    const now = Date.now();
    const pids = new Set(childrenOf(this.#dispatcherPid));
    for (const [pid, fromMs] of this.#living) {
      if (pids.has(pid)) continue;
      this.#living.delete(pid);
      this.#past.push({ fromMs, toMs: now });
    }
    // It began at some time since the last look.
    for (const pid of pids) if (!this.#living.has(pid)) this.#living.set(pid, this.#lookedMs);
    this.#lookedMs = now;
  }
}

/** Seconds that these lives have in a stretch of time; two at once count twice. */
export function brainSeconds(lives: readonly Life[], stretch: Life): number {
  const within = lives.map(({ fromMs, toMs }) => Math.max(0, Math.min(toMs, stretch.toMs) - Math.max(fromMs, stretch.fromMs)));
  return within.reduce((sum, ms) => sum + ms, 0) / 1000;
}

/** Throws where a brain lived in a stretch of time in which none may. */
export function requireNone(lives: readonly Life[], stretch: Life, when: string): void {
  const seconds = brainSeconds(lives, stretch);
  if (seconds > 0) throw new Error(`a brain lived for ${seconds} s ${when}, where there must be none`);
}
