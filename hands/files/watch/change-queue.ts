import type { MessageInitShape } from "@bufbuild/protobuf";
import type { WatchChangeSchema, WatchEndReason, WatchMode, WatchResponseSchema } from "@serverless-harness/proto/hands";

type Change = MessageInitShape<typeof WatchChangeSchema>;
type Message = MessageInitShape<typeof WatchResponseSchema>;

const MAX_CHANGES = 1000;

/**
 * What waits for the reader of a watch. Beyond its bound everything is dropped, up to the moment when the reader is told so: what it lists
 * from then on shows what it was not told.
 */
export class ChangeQueue {
  readonly #max: number;
  #changes: Change[] = [];
  #started: { mode: WatchMode; pollIntervalMs: number } | undefined;
  #hasOverflown = false;
  #end: { reason: WatchEndReason } | { error: unknown } | undefined;
  #wake: () => void = () => undefined;

  /** `max`: changes that wait. */
  constructor(max: number) {
    this.#max = max;
  }

  start(mode: WatchMode, pollIntervalMs: number): void {
    this.#started = { mode, pollIntervalMs };
    this.#wake();
  }

  push(change: Change): void {
    if (this.#hasOverflown) return;
    if (this.#changes.length < this.#max) {
      this.#changes.push(change);
    } else {
      this.#hasOverflown = true;
      this.#changes = [];
    }
    this.#wake();
  }

  /** The reader gets what waits, and then this. The first end counts. */
  end(end: { reason: WatchEndReason } | { error: unknown }): void {
    this.#end ??= end;
    this.#wake();
  }

  /** All of it, to the end or until `signal` is aborted. Throws the error that it ended with. For one reader. */
  async *read(signal: AbortSignal): AsyncGenerator<Message> {
    const onAbort = (): void => this.#wake();
    signal.addEventListener("abort", onAbort);
    try {
      while (!signal.aborted) {
        const message = this.#take();
        if (message !== undefined) {
          yield message;
        } else if (this.#end !== undefined) {
          if ("error" in this.#end) throw this.#end.error;
          yield { event: { case: "ended", value: this.#end } };
          return;
        } else {
          await new Promise<void>((resolve) => {
            this.#wake = resolve;
          });
        }
      }
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }

  #take(): Message | undefined {
    if (this.#started !== undefined) {
      const value = this.#started;
      this.#started = undefined;
      return { event: { case: "started", value } };
    }
    if (this.#hasOverflown) {
      this.#hasOverflown = false;
      return { event: { case: "overflow", value: {} } };
    }
    if (this.#changes.length === 0) return undefined;
    const changes = this.#changes.splice(0, MAX_CHANGES);
    return { event: { case: "changes", value: { changes } } };
  }
}
