import type { Logger } from "@serverless-harness/kit/log";
import type { LeafStore } from "@serverless-harness/session";
import { Chore } from "../chore.ts";

/** Sessions that are looked at at once; the others are there the next time. */
const STEP = 1000;

/** What {@link LostSandboxes} works with. */
export interface LostSandboxesOptions {
  readonly store: Pick<LeafStore, "sandboxes" | "rouse">;
  /** How long a sandbox counts as there after a report, in milliseconds. One that is away for that long again is taken for lost. */
  readonly aliveMs: number;
  readonly log: Logger;
}

/**
 * Wakes leaves that wait for a command in a sandbox that is gone, since nobody else will: they go on in another one. A leaf that a brain works on is
 * that brain's. Any number of dispatchers may do so.
 */
export class LostSandboxes {
  readonly #options: LostSandboxesOptions;
  readonly #chore: Chore;
  /** Nothing was reported while no dispatcher ran: before this time, by the steady clock, that says nothing. */
  readonly #notBefore: number;

  constructor(options: LostSandboxesOptions) {
    const { aliveMs, log } = options;
    this.#options = options;
    this.#notBefore = performance.now() + 2 * aliveMs;
    this.#chore = new Chore({
      intervalMs: Math.min(aliveMs, 1000),
      work: (signal) => this.#look(signal),
      failed: "leaves whose sandbox is gone could not be woken: tried again",
      log,
    });
  }

  /** Begin to look. */
  start(): void {
    this.#chore.start();
  }

  /** Look no more. */
  async stop(): Promise<void> {
    await this.#chore.stop();
  }

  async #look(signal: AbortSignal): Promise<void> {
    if (performance.now() < this.#notBefore) return;
    const { store, aliveMs, log } = this.#options;
    const { sandboxes, nowMs } = await store.sandboxes.list();
    for (const { name, aliveUntilMs, working } of sandboxes) {
      if (working === 0 || Number(aliveUntilMs) + aliveMs > nowMs) continue;
      let roused = 0;
      for (const { tenant, sessionId } of await store.sandboxes.workingIn(name, STEP)) {
        if (signal.aborted) return;
        if (await store.rouse(tenant, sessionId, `its sandbox ${name} is gone`)) roused += 1;
      }
      if (roused > 0) log.warn({ sandbox: name, leaves: roused }, "a sandbox is gone: leaves that waited for its commands go on elsewhere");
    }
  }
}
