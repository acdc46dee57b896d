import { Code, type Interceptor } from "@connectrpc/connect";
import { HarnessError } from "@serverless-harness/kit/errors";
import { SandboxAccessService } from "@serverless-harness/proto/brain";
import { Health } from "@serverless-harness/proto/health";

const STAYS_OPEN: ReadonlySet<string> = new Set([Health.typeName, SandboxAccessService.typeName]);

/** How the dispatcher goes down: first it refuses new calls, then it ends the streams that are still open. */
export class Drain {
  readonly #ended = new AbortController();
  #draining = false;

  /** New calls are refused. */
  get draining(): boolean {
    return this.#draining;
  }

  /** Aborts when open streams have to end. */
  get ended(): AbortSignal {
    return this.#ended.signal;
  }

  /** Refuse new calls from now on. */
  begin(): void {
    this.#draining = true;
  }

  /** End open streams; clients take them up again with the next dispatcher. */
  end(): void {
    this.#draining = true;
    this.#ended.abort();
  }

  /** UNAVAILABLE while draining. */
  requireOpen(): void {
    if (this.#draining) throw shuttingDown();
  }

  /** {@link requireOpen} in front of every RPC but health probes, and what brains need to hand back what they hold. */
  interceptor(): Interceptor {
    return (next) => (request) => {
      if (!STAYS_OPEN.has(request.service.typeName)) this.requireOpen();
      return next(request);
    };
  }
}

/** What a call gets that meets the dispatcher going down. */
export function shuttingDown(): HarnessError {
  return new HarnessError(Code.Unavailable, "shutting_down", "the dispatcher is going down: call again, the leaf itself goes on", {
    retryAfterMs: 1000,
  });
}
