import { setTimeout as sleep } from "node:timers/promises";
import { Code } from "@connectrpc/connect";
import { HarnessError } from "@serverless-harness/kit/errors";
import type { Logger } from "@serverless-harness/kit/log";
import type { Exec } from "./exec.ts";

const PER_EXEC = 16;
const TIMEOUT_MS = 5000;
/** Between tries: doubled from the first to the longest. Whoever is told may be starting anew just then. */
const PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 30_000;
/** About half an hour in all. */
const TRIES = 64;

/** Tells others when execs have ended, so that they need not hold a connection for it. */
export class EndNotices {
  readonly #log: Logger;
  readonly #waiting = new WeakMap<Exec, number>();

  constructor(log: Logger) {
    this.#log = log;
  }

  /** POST `body` to `url` when the exec has ended. RESOURCE_EXHAUSTED where too many wait for it already. */
  add(exec: Exec, url: URL, body: string): void {
    const waiting = this.#waiting.get(exec) ?? 0;
    if (waiting >= PER_EXEC) {
      const text = `${PER_EXEC} want to hear of this exec's end already: wait for it with Attach instead`;
      throw new HarnessError(Code.ResourceExhausted, "limit_reached", text, { metadata: { limit: "end_notices", max: String(PER_EXEC) } });
    }
    this.#waiting.set(exec, waiting + 1);
    void exec.settled.then(() => this.#tell(exec, url, body));
  }

  async #tell(exec: Exec, url: URL, body: string): Promise<void> {
    this.#waiting.set(exec, (this.#waiting.get(exec) ?? 1) - 1);
    for (let attempt = 1; attempt <= TRIES; attempt++) {
      try {
        const headers = { "content-type": "application/json" };
        const signal = AbortSignal.timeout(TIMEOUT_MS);
        const response = await fetch(url, { method: "POST", headers, body, signal, redirect: "error" });
        await response.body?.cancel();
        // Whoever refuses it will refuse it again.
        if (response.status < 500) return;
      } catch (error) {
        // The address may hold a secret, and so may what an error says of it.
        this.#log.debug({ exec: exec.id, host: url.host, attempt, code: codeOf(error) }, "the end of an exec could not be told");
      }
      await sleep(Math.min(PAUSE_MS * 2 ** (attempt - 1), LONGEST_PAUSE_MS), undefined, { ref: false });
    }
    this.#log.info({ exec: exec.id, host: url.host }, "the end of an exec could not be told: whoever waits for it looks for itself");
  }
}

function codeOf(error: unknown): string | undefined {
  const cause = error instanceof Error ? error.cause : undefined;
  return cause instanceof Error && "code" in cause ? String(cause.code) : undefined;
}
