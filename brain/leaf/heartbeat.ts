import { HarnessError } from "@serverless-harness/kit/errors";
import type { Logger } from "@serverless-harness/kit/log";
import type { Wishes } from "@serverless-harness/session";

/** What a {@link Heartbeat} does and whom it tells. */
export interface HeartbeatOptions {
  readonly leaseMs: number;
  /** Prolong the lease. */
  readonly beat: () => Promise<Wishes>;
  /** A cancel was asked for. Called once. */
  readonly onCancel: () => void;
  /** There are messages that were not delivered. */
  readonly onMessages: (messages: Wishes["messages"]) => void;
  /** The leaf has another owner, or may have one by now. Called once. */
  readonly onLost: () => void;
  readonly log: Logger;
}

/**
 * Keeps a leaf's lease, three beats to a lease. It runs on the main loop's own timers, so it proves that the loop turns: a brain that hangs
 * loses its leaves to one that does not.
 */
export class Heartbeat {
  readonly #options: HeartbeatOptions;
  readonly #timer: NodeJS.Timeout;
  #renewedAt = performance.now();
  #cancelled = false;
  #stopped = false;

  constructor(options: HeartbeatOptions) {
    this.#options = options;
    this.#timer = setInterval(() => void this.beat(), options.leaseMs / 3);
  }

  /** Beat no more. */
  stop(): void {
    this.#stopped = true;
    clearInterval(this.#timer);
  }

  /** Beat now: somebody may want something. Never rejects. */
  async beat(): Promise<void> {
    const { beat, onCancel, onMessages, log, leaseMs } = this.#options;
    const startedAt = performance.now();
    try {
      const { cancelRequested, messages } = await beat();
      this.#renewedAt = startedAt;
      if (cancelRequested && !this.#cancelled && !this.#stopped) {
        this.#cancelled = true;
        onCancel();
      }
      if (messages.length > 0 && !this.#stopped) onMessages(messages);
    } catch (error) {
      if (this.#stopped) return;
      log.warn({ err: error }, "the lease could not be renewed");
      const stale = error instanceof HarnessError && error.reason === "stale_epoch";
      // After the end of the lease somebody else may own the leaf, and the store does not say.
      if (stale || performance.now() - this.#renewedAt > leaseMs) this.#lose();
    }
  }

  #lose(): void {
    this.stop();
    this.#options.onLost();
  }
}
