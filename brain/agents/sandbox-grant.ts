import { setTimeout as sleep } from "node:timers/promises";
import { Code, createClient, type Transport } from "@connectrpc/connect";
import { fullJitter } from "@serverless-harness/kit/backoff";
import { fromConnectError, HarnessError } from "@serverless-harness/kit/errors";
import type { Logger } from "@serverless-harness/kit/log";
import { type GrantResponse, SandboxAccessService } from "@serverless-harness/proto/brain";

/** A dispatcher that takes longer counts as away. */
const CALL_TIMEOUT_MS = 5000;
/** Waits between two attempts grow from the first to the second, in milliseconds. */
const FIRST_WAIT_MS = 50;
const LONGEST_WAIT_MS = 2000;
/** Of a token's life: it is renewed when half is over, and not relied on in the last tenth. */
const RENEW_AFTER = 0.5;
const RELY_UNTIL = 0.9;

/** What {@link SandboxGrant} asks for. */
export interface SandboxGrantOptions {
  /** To the dispatcher. */
  readonly transport: Transport;
  readonly leafId: string;
  readonly epoch: bigint;
  readonly worker: string;
  /** By whose clock the tokens are made: a name in the pool. Empty: there is one sandbox for all. */
  readonly sandbox: string;
  /** How long who needs a token waits for a dispatcher to come back, in milliseconds. */
  readonly patienceMs: number;
  readonly log: Logger;
}

/** Tokens that are there, and until when they are good: by the steady clock, and by the wall's, which goes on while a laptop sleeps. */
interface Granted {
  readonly response: GrantResponse;
  readonly renewAt: number;
  readonly endsAt: number;
  readonly wallEndsAt: number;
}

/**
 * The tokens for the sandbox of one leaf that this brain runs, from the dispatcher, which has the key. The first are asked for at once, while the agent is
 * put together, and they are renewed when half of their life is over: a dispatcher may be away for the other half, and nobody notices. Whoever has lost the leaf gets
 * no new ones.
 */
export class SandboxGrant {
  readonly #options: SandboxGrantOptions;
  readonly #closed = new AbortController();
  #granted: Granted | undefined;
  #asking: Promise<Granted> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #refusedAsExpired = false;

  constructor(options: SandboxGrantOptions) {
    this.#options = options;
    this.#ask().catch(() => undefined);
  }

  /** For the session's workspace. */
  readonly token = (): string | Promise<string> => this.#pick(({ token }) => token);
  /** For making the workspace from the one that the leaf forks. */
  readonly makingToken = (): string | Promise<string> => this.#pick(({ makingToken }) => makingToken);

  /** Hands refused a token as expired: the next one is made by the clock of hands. */
  readonly expired = (): boolean => {
    this.#refusedAsExpired = true;
    this.#granted = undefined;
    return true;
  };

  /** Ask for no more. */
  close(): void {
    this.#closed.abort();
    clearTimeout(this.#timer);
  }

  #pick(of: (response: GrantResponse) => string): string | Promise<string> {
    const granted = this.#granted;
    if (granted !== undefined && isGood(granted)) return of(granted.response);
    return this.#wait().then(({ response }) => of(response));
  }

  /** Somebody needs a token now. Rejects with a HarnessError once it has waited for long enough, or can't have one. */
  async #wait(): Promise<Granted> {
    const { patienceMs } = this.#options;
    const giveUpAt = performance.now() + patienceMs;
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#ask();
      } catch (error) {
        if (!(error instanceof HarnessError) || !isPassing(error)) throw error;
        const waitMs = FIRST_WAIT_MS + fullJitter(attempt, FIRST_WAIT_MS, LONGEST_WAIT_MS);
        if (performance.now() + waitMs >= giveUpAt) throw dispatcherAway(patienceMs, error);
        await sleep(waitMs, undefined, { signal: this.#closed.signal }).catch(() => undefined);
      }
    }
  }

  /** One attempt, which all who ask meanwhile share. */
  #ask(): Promise<Granted> {
    this.#asking ??= this.#call().finally(() => {
      this.#asking = undefined;
    });
    return this.#asking;
  }

  async #call(): Promise<Granted> {
    const { transport, leafId, epoch, worker, sandbox } = this.#options;
    const refusedAsExpired = this.#refusedAsExpired;
    const signal = AbortSignal.any([this.#closed.signal, AbortSignal.timeout(CALL_TIMEOUT_MS)]);
    const [askedAt, wallAskedAt] = [performance.now(), Date.now()];
    try {
      const response = await createClient(SandboxAccessService, transport).grant(
        { leafId, epoch, worker, sandbox, refusedAsExpired },
        { signal },
      );
      const lifeMs = Number(response.lifeMs);
      const [renewAfterMs, relyMs] = [lifeMs * RENEW_AFTER, lifeMs * RELY_UNTIL];
      const granted = { response, renewAt: askedAt + renewAfterMs, endsAt: askedAt + relyMs, wallEndsAt: wallAskedAt + relyMs };
      this.#granted = granted;
      this.#refusedAsExpired = false;
      this.#renewAt(granted.renewAt);
      return granted;
    } catch (thrown) {
      throw this.#closed.signal.aborted ? closed() : explained(fromConnectError(thrown));
    }
  }

  #renewAt(at: number, attempt = 0): void {
    clearTimeout(this.#timer);
    if (this.#closed.signal.aborted) return;
    const renew = (): void => {
      this.#ask().catch((error: unknown) => {
        if (this.#closed.signal.aborted) return;
        if (!(error instanceof HarnessError) || !isPassing(error)) return this.#end(error);
        this.#renewAt(performance.now() + FIRST_WAIT_MS + fullJitter(attempt + 1, FIRST_WAIT_MS, LONGEST_WAIT_MS), attempt + 1);
      });
    };
    this.#timer = setTimeout(renew, Math.max(0, at - performance.now())).unref();
  }

  /** Whoever needs a token learns of it when this one is over; hands refuses what is another owner's before that. */
  #end(error: unknown): void {
    this.#options.log.warn({ err: error }, "the sandbox's token can't be renewed");
  }
}

function isGood({ endsAt, wallEndsAt }: Granted): boolean {
  return performance.now() < endsAt && Date.now() < wallEndsAt;
}

/** The dispatcher may answer otherwise later. */
function isPassing({ code }: HarnessError): boolean {
  return code !== Code.FailedPrecondition && code !== Code.Unauthenticated && code !== Code.InvalidArgument && code !== Code.Unimplemented;
}

function explained(error: HarnessError): HarnessError {
  if (error.code !== Code.Unauthenticated) return error;
  const text = "the dispatcher does not take this brain's word: BRAIN_TOKEN_FILE has to name the same file here and there";
  return new HarnessError(Code.Unauthenticated, "unauthorized", text, { cause: error });
}

function dispatcherAway(patienceMs: number, cause: HarnessError): HarnessError {
  const text = `no token for the sandbox could be had for ${patienceMs} ms: check that the dispatcher runs, and that DISPATCHER_URL is right (${cause.message})`;
  return new HarnessError(Code.Unavailable, "sandbox_unavailable", text, { cause });
}

function closed(): HarnessError {
  return new HarnessError(Code.Canceled, "detached", "the leaf was let go of");
}
