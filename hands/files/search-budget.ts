import { Code } from "@connectrpc/connect";
import { HarnessError } from "@serverless-harness/kit/errors";

/** How long a search may go on: until its time is up, or its caller has gone. */
export class SearchBudget {
  /** Aborted at the end of the budget. */
  readonly signal: AbortSignal;
  readonly #caller: AbortSignal;
  readonly #ms: number;

  constructor(ms: number, caller: AbortSignal) {
    this.#ms = ms;
    this.#caller = caller;
    this.signal = AbortSignal.any([caller, AbortSignal.timeout(ms)]);
  }

  /** DEADLINE_EXCEEDED `search_timeout` once the time is up, CANCELLED once the caller has gone. */
  check(): void {
    if (!this.signal.aborted) return;
    if (this.#caller.aborted) throw new HarnessError(Code.Canceled, "cancelled", "the caller has gone");
    throw new HarnessError(
      Code.DeadlineExceeded,
      "search_timeout",
      `the search took longer than ${this.#ms} ms: search a smaller directory`,
      {
        metadata: { limit_ms: String(this.#ms) },
      },
    );
  }
}
