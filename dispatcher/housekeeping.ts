import type { Logger } from "@serverless-harness/kit/log";
import type { LeafStore, Retention } from "@serverless-harness/session";
import { Chore } from "./chore.ts";
import type { SessionRetention } from "./session-retention.ts";

const SWEEP_EVERY_MS = 60_000;
const LOOK_FOR_OVERDUE_EVERY_MS = 1000;
/** A leaf that waits is ready at its deadline, and a brain that claims it also ends what it left running: it gets this long to. */
const OVERDUE_GRACE_MS = 30_000;
/** Leaves that one step of the store ends or removes. */
const STEP = 200;

const LOOK_FOR_IDLE_EVERY_MS = 60_000;

/** What the store needs somebody to do from time to time, whether or not there is a brain. Several dispatchers may do it on one store. */
export class Housekeeping {
  readonly #chores: readonly Chore[];
  readonly #sessions: SessionRetention | undefined;

  /** `sessions`: removes those that are idle; `undefined` where sessions are kept. */
  constructor(store: Pick<LeafStore, "sweep" | "endOverdue">, retention: Retention, sessions: SessionRetention | undefined, log: Logger) {
    this.#sessions = sessions;
    this.#chores = [
      ...(sessions === undefined ? [] : [idleSessionsChore(sessions, log)]),
      new Chore({
        intervalMs: SWEEP_EVERY_MS,
        work: async (signal) => {
          const removed = await inSteps(signal, () => store.sweep(retention, STEP));
          if (removed > 0) log.info({ removed }, "leaves and tombstones were kept for long enough");
        },
        failed: "leaves that were kept for long enough could not be removed: tried again",
        log,
      }),
      new Chore({
        intervalMs: LOOK_FOR_OVERDUE_EVERY_MS,
        work: async (signal) => {
          const ended = await inSteps(signal, () => store.endOverdue(OVERDUE_GRACE_MS, STEP));
          if (ended > 0) log.info({ ended }, "leaves that nobody held were ended by their deadlines");
        },
        failed: "leaves whose deadline has passed could not be ended: tried again",
        log,
      }),
    ];
  }

  /** Begin with everything now. */
  start(): void {
    for (const chore of this.#chores) chore.start();
  }

  /** Begin with nothing more; resolves when the steps that are under way are done. */
  async stop(): Promise<void> {
    await Promise.all(this.#chores.map((chore) => chore.stop()));
    await this.#sessions?.close();
  }
}

function idleSessionsChore(sessions: SessionRetention, log: Logger): Chore {
  return new Chore({
    intervalMs: LOOK_FOR_IDLE_EVERY_MS,
    work: (signal) => sessions.removeIdle(signal),
    failed: "sessions that were idle for long enough could not be removed: tried again",
    log,
  });
}

/** Repeat a step for as long as it finds as much as it may do at once. Returns how much it did. */
async function inSteps(signal: AbortSignal, step: () => Promise<number>): Promise<number> {
  let total = 0;
  for (let done = STEP; done === STEP && !signal.aborted; total += done) done = await step();
  return total;
}
