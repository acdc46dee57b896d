import type { Logger } from "@serverless-harness/kit/log";

/** What a {@link Chore} does. */
export interface ChoreOptions {
  /** Between two beginnings, in milliseconds. */
  readonly intervalMs: number;
  /** Do all that there is to do; gives up between two steps when `signal` aborts. */
  readonly work: (signal: AbortSignal) => Promise<void>;
  /** What is logged, as a warning, when `work` throws: it is tried again with the next interval. */
  readonly failed: string;
  readonly log: Logger;
}

/** Something that is done over and over, never twice at once, whatever goes wrong. */
export class Chore {
  readonly #options: ChoreOptions;
  readonly #stopping = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  #working: Promise<void> | undefined;
  #lastFailure = "";

  constructor(options: ChoreOptions) {
    this.#options = options;
  }

  /** Do it now, and from now on. */
  start(): void {
    this.#work();
    this.#timer = setInterval(() => this.#work(), this.#options.intervalMs);
  }

  /** Begin no more; resolves when the step that is under way is done. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    clearInterval(this.#timer);
    await this.#working;
  }

  #work(): void {
    const { work, failed, log } = this.#options;
    this.#working ??= work(this.#stopping.signal)
      .then(
        () => {
          this.#lastFailure = "";
        },
        (error: unknown) => {
          // Something that lasts is told once, not with each try.
          if (this.#lastFailure !== String(error)) log.warn({ err: error }, failed);
          this.#lastFailure = String(error);
        },
      )
      .finally(() => {
        this.#working = undefined;
      });
  }
}
