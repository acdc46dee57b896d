import { setTimeout as sleep } from "node:timers/promises";
import { type Client, createClient } from "@connectrpc/connect";
import { newId } from "@serverless-harness/kit/ids";
import type { Logger } from "@serverless-harness/kit/log";
import { createHttp1Transport } from "@serverless-harness/kit/transport";
import { BrainService } from "@serverless-harness/proto/brain";
import type { Backlog, LeafStore } from "@serverless-harness/session";
import { type BrainExit, type RestartBounds, RestartPolicy } from "./restart-policy.ts";
import type { Waker, WakerStatus } from "./waker.ts";

/** How brains are woken by a call. */
export interface KnativeConfig {
  /** Address of the brain's service, as a proxy or activator in front of it answers. */
  readonly url: string;
  /** Calls at once at the most: brains, if the service gives each call one of its own. */
  readonly maxWakes: number;
  /** One more call is made for each so many leaves. */
  readonly leavesPerBrain: number;
  /** A call that was not answered for so long is given up and made again. */
  readonly timeoutMs: number;
}

/** What {@link KnativeWaker} needs. */
export interface KnativeWakerOptions extends KnativeConfig {
  readonly store: LeafStore;
  readonly log: Logger;
  /** Back-off after calls that failed. Default 500 ms to 30 s. */
  readonly restart?: RestartBounds;
  /** How long the duty to wake stays with a dispatcher that is gone, in milliseconds. Default 10 s. */
  readonly dutyMs?: number;
}

const RESTART: RestartBounds = { baseMs: 500, maxMs: 30_000 };
const DUTY = "wake";
const DUTY_MS = 10_000;
/** With further calls to be had, the queue is looked at this often while some are under way. */
const LOOK_EVERY_MS = 1000;
/** A leaf that is due and yet not ready must not make a busy loop. */
const MIN_WAIT_MS = 50;
/** So many failures in a row are no accident. */
const FAILURES_UNTIL_TOLD = 3;

/**
 * Wakes brains by calling their service; whatever answers its address starts them. A call lasts until its brain has nothing to do any more, which also
 * tells the platform that the brain is needed. Of several dispatchers on one store one calls, and the next one when it is gone. A call that is
 * lost, cut or answered twice costs nothing: the queue says what there is to do, and it is asked again after each.
 */
export class KnativeWaker implements Waker {
  readonly #options: KnativeWakerOptions;
  readonly #brains: Client<typeof BrainService>;
  readonly #policy: RestartPolicy;
  readonly #holder = newId("dispatcher");
  readonly #stopping = new AbortController();
  readonly #inFlight = new Set<Promise<void>>();
  #hint = Promise.withResolvers<void>();
  #reason = "";
  #running: Promise<void> | undefined;
  #dutyUntil = 0;
  /** Leaves that run may have lost the call that kept their brain: a dispatcher that is gone made it, or it was cut. */
  #mayBeLost = false;
  #notBefore = 0;
  #answered = 0;
  #failed = 0;
  #failures = 0;
  #workedMs = 0;
  #problem: string | undefined;

  constructor(options: KnativeWakerOptions) {
    this.#options = options;
    this.#policy = new RestartPolicy(options.restart ?? RESTART);
    this.#brains = createClient(BrainService, createHttp1Transport(options.url));
  }

  start(): void {
    this.#running ??= this.#run();
  }

  wake(reason: string): void {
    this.#reason = reason;
    this.#hint.resolve();
  }

  status(): WakerStatus {
    return {
      kind: "knative",
      brains: [],
      brainsStarted: 0,
      brainsCrashed: 0,
      brainSeconds: Math.round(this.#workedMs) / 1000,
      wakes: { inFlight: this.#inFlight.size, answered: this.#answered, failed: this.#failed },
      ...(this.#problem === undefined ? {} : { problem: this.#problem }),
    };
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#hint.resolve();
    await this.#running;
    await Promise.all(this.#inFlight);
    if (this.#dutyUntil > 0) await this.#options.store.leaveDuty(DUTY, this.#holder).catch(() => undefined);
    this.#dutyUntil = 0;
  }

  async #run(): Promise<void> {
    while (!this.#stopping.signal.aborted) {
      this.#hint = Promise.withResolvers();
      const backlog = (await this.#onDuty()) ? await this.#backlog() : undefined;
      if (this.#stopping.signal.aborted) return;
      if (backlog === undefined) await this.#pause(this.#dutyMs / 4);
      else if (performance.now() < this.#notBefore) await this.#pause(Math.min(this.#notBefore - performance.now(), this.#dutyMs / 4));
      else if (this.#inFlight.size < this.#wanted(backlog)) this.#call();
      else await this.#untilMore(backlog);
    }
  }

  get #dutyMs(): number {
    return this.#options.dutyMs ?? DUTY_MS;
  }

  /** It is this dispatcher that calls. */
  async #onDuty(): Promise<boolean> {
    const now = performance.now();
    // Renewed when half of it is over.
    if (this.#dutyUntil - now > this.#dutyMs / 2) return true;
    const had = this.#dutyUntil > now;
    const has = await this.#options.store.takeDuty(DUTY, this.#holder, this.#dutyMs).catch((error: unknown) => {
      this.#options.log.error({ err: error }, "whether this dispatcher is to wake brains can't be found out: asked again");
      return false;
    });
    this.#dutyUntil = has ? now + this.#dutyMs : 0;
    if (has && !had) this.#mayBeLost = true;
    return has;
  }

  /** Calls that there should be. */
  #wanted({ ready, running }: Backlog): number {
    const { maxWakes, leavesPerBrain } = this.#options;
    if (running + ready === 0) this.#mayBeLost = false;
    if (ready === 0 && !this.#mayBeLost) return 0;
    return Math.min(maxWakes, Math.ceil((ready + running) / leavesPerBrain));
  }

  #call(): void {
    const reason = this.#reason || "backlog";
    this.#reason = "";
    this.#mayBeLost = false;
    const call = this.#wake(reason).finally(() => this.#inFlight.delete(call));
    this.#inFlight.add(call);
  }

  async #wake(reason: string): Promise<void> {
    const { timeoutMs, log, url } = this.#options;
    const { signal } = this.#stopping;
    const started = performance.now();
    log.info({ reason, url }, "brain is called");
    const failure = await this.#brains.wake({ reason }, { signal, timeoutMs }).then(
      ({ claimed, finished, released }) => {
        log.info({ claimed, finished, released }, "brain is done");
        return undefined;
      },
      (error: unknown) => (error instanceof Error ? error.message : String(error)),
    );
    const livedMs = performance.now() - started;
    this.#workedMs += livedMs;
    if (signal.aborted) return;
    await this.#judge(failure, livedMs);
  }

  /** What a call's end means for the next one. */
  async #judge(failure: string | undefined, livedMs: number): Promise<void> {
    const { log, url } = this.#options;
    const exit: BrainExit = { clean: failure === undefined, note: failure ?? "", livedMs };
    if (failure === undefined) {
      this.#answered += 1;
      this.#failures = 0;
      this.#problem = undefined;
    } else {
      this.#failed += 1;
      this.#failures += 1;
      this.#mayBeLost = true;
      log.warn({ url, failure, livedMs: Math.round(livedMs) }, "the call that wakes a brain failed: made again");
      if (this.#failures >= FAILURES_UNTIL_TOLD)
        this.#problem = `brains can't be woken at ${url} (${failure}): check DISPATCHER_KNATIVE_URL and the service behind it`;
    }
    const workLeft = ((await this.#backlog())?.ready ?? 0) > 0;
    this.#notBefore = performance.now() + this.#policy.delayAfter(exit, workLeft);
  }

  /** Until a call ends, or there may be a reason for one more. */
  async #untilMore({ nextDueMs }: Backlog): Promise<void> {
    const { store, maxWakes } = this.#options;
    const longest = this.#dutyMs / 4;
    if (this.#inFlight.size > 0) {
      const lookMs = this.#inFlight.size < maxWakes ? Math.min(LOOK_EVERY_MS, longest) : longest;
      return this.#pause(lookMs, [...this.#inFlight]);
    }
    const dueMs = nextDueMs === undefined ? longest : Math.max(MIN_WAIT_MS, nextDueMs - Date.now());
    const over = new AbortController();
    const wait = store.waitForWork(Math.min(longest, dueMs), AbortSignal.any([this.#stopping.signal, over.signal]));
    await Promise.race([wait, this.#hint.promise]);
    over.abort();
    await wait;
  }

  async #pause(ms: number, others: readonly Promise<void>[] = []): Promise<void> {
    const over = new AbortController();
    const time = sleep(ms, undefined, { signal: AbortSignal.any([this.#stopping.signal, over.signal]) }).catch(() => undefined);
    await Promise.race([time, ...others]);
    over.abort();
  }

  async #backlog(): Promise<Backlog | undefined> {
    return await this.#options.store.backlog().catch((error: unknown) => {
      this.#options.log.error({ err: error }, "the queue can't be read");
      return undefined;
    });
  }
}
