import { setTimeout as sleep } from "node:timers/promises";
import { newId } from "@serverless-harness/kit/ids";
import type { Logger } from "@serverless-harness/kit/log";
import type { Backlog, LeafStore } from "@serverless-harness/session";
import type { BrainLog } from "./brain-log.ts";
import { type BrainCommand, BrainProcess } from "./brain-process.ts";
import { type BrainExit, type RestartBounds, RestartPolicy } from "./restart-policy.ts";
import { tellWaitingLeaves } from "./waiting-leaves.ts";
import type { Waker, WakerStatus } from "./waker.ts";

/** What {@link LocalWaker} needs. */
export interface LocalWakerOptions {
  readonly store: LeafStore;
  readonly log: Logger;
  readonly brain: BrainCommand;
  readonly brainLog: BrainLog;
  /** Back-off behind crashes. Default 100 ms to 30 s. */
  readonly restart?: RestartBounds;
  /** Between SIGTERM and SIGKILL when it stops, in milliseconds. Default 10 s. */
  readonly graceMs?: number;
}

const RESTART: RestartBounds = { baseMs: 100, maxMs: 30_000 };
const GRACE_MS = 10_000;
/** The queue is asked at least this often, whatever it announces. */
const MAX_WAIT_MS = 30_000;
/** A leaf that is due and yet not ready, because its session is busy, must not make a busy loop. */
const MIN_WAIT_MS = 50;
const STORE_RETRY_MS = 1000;
/** After this time a brain has found nothing wrong with its settings. */
const WORKS_AFTER_MS = 5000;
/** How long it waits, when it stops, for output that a process which a brain left behind may still hold. */
const LAST_OUTPUT_MS = 1000;

/**
 * Starts brains as child processes of the dispatcher: one at a time, as one carries many leaves. It lives while there is work and ends by
 * itself; the next one is started when something is ready again.
 */
export class LocalWaker implements Waker {
  readonly #options: LocalWakerOptions;
  readonly #policy: RestartPolicy;
  readonly #stopping = new AbortController();
  #hint = new AbortController();
  #running: Promise<void> | undefined;
  #brain: BrainProcess | undefined;
  readonly #unlogged = new Set<Promise<unknown>>();
  #started = 0;
  #crashed = 0;
  #pastMs = 0;
  #problem: string | undefined;

  constructor(options: LocalWakerOptions) {
    this.#options = options;
    this.#policy = new RestartPolicy(options.restart ?? RESTART);
  }

  start(): void {
    this.#running ??= this.#run();
  }

  wake(reason: string): void {
    if (this.#brain !== undefined || this.#hint.signal.aborted) return;
    this.#options.log.debug({ reason }, "wake");
    // Behind the answer to the submitting client, which a fork in its way would hold up.
    const hint = this.#hint;
    setImmediate(() => hint.abort());
  }

  status(): WakerStatus {
    const live = this.#brain?.live;
    const works = live !== undefined && Date.now() - live.startedAt > WORKS_AFTER_MS;
    const livedMs = this.#pastMs + (live === undefined ? 0 : Date.now() - live.startedAt);
    return {
      kind: "local",
      brains: live === undefined ? [] : [live],
      brainsStarted: this.#started,
      brainsCrashed: this.#crashed,
      brainSeconds: Math.round(livedMs) / 1000,
      ...(this.#problem === undefined || works ? {} : { problem: this.#problem }),
    };
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#brain?.terminate(this.#options.graceMs ?? GRACE_MS);
    await this.#running;
    await Promise.race([Promise.all(this.#unlogged), sleep(LAST_OUTPUT_MS, undefined, { ref: false })]);
  }

  async #run(): Promise<void> {
    const stopping = this.#stopping.signal;
    while (!stopping.aborted) {
      await this.#untilReady();
      if (stopping.aborted) return;
      const exit = await this.#runBrain();
      if (stopping.aborted) return;
      // Work that arrived while the brain was on its way out is in the backlog: no wake is lost.
      const workLeft = ((await this.#backlog())?.ready ?? 0) > 0;
      const delayMs = this.#policy.delayAfter(exit, workLeft);
      this.#problem = exit.problem ?? this.#policy.problemAfter(exit);
      // A brain that had taken leaves up has left its end in their logs.
      if (this.#problem !== undefined && exit.released === 0) await this.#explain(this.#problem);
      if (delayMs > 0) await sleep(delayMs, undefined, { signal: stopping }).catch(() => undefined);
    }
  }

  /** Wait until something is ready or a wake says so. */
  async #untilReady(): Promise<void> {
    const { store } = this.#options;
    const wanted = AbortSignal.any([this.#stopping.signal, this.#hint.signal]);
    while (!wanted.aborted) {
      const backlog = await this.#backlog();
      if (backlog !== undefined && backlog.ready > 0) return;
      if (wanted.aborted) return;
      if (backlog === undefined) await sleep(STORE_RETRY_MS, undefined, { signal: wanted }).catch(() => undefined);
      else await store.waitForWork(waitMs(backlog), wanted);
    }
  }

  /** Start a brain, see it end, and take its leaves back from it. */
  async #runBrain(): Promise<BrainExit & { readonly released: number }> {
    const { store, log } = this.#options;
    const name = newId("brain");
    const exit = await this.#live(name);
    this.#brain = undefined;
    this.#hint = new AbortController();
    this.#pastMs += exit.livedMs;
    if (!exit.clean) this.#crashed += 1;
    const released = await store.releaseWorker(name, `brain ${exit.note}`).catch((error: unknown) => {
      log.error({ err: error, brain: name }, "the brain's leaves stay with it until its lease ends");
      return 0;
    });
    log[exit.clean ? "info" : "warn"]({ brain: name, released, livedMs: Math.round(exit.livedMs) }, `brain ${exit.note}`);
    return { ...exit, released };
  }

  /** Leaves that wait for a brain learn from their own logs why none comes. */
  async #explain(problem: string): Promise<void> {
    const { store, log } = this.#options;
    log.error({ problem }, "no brain can work");
    await tellWaitingLeaves(store, `no brain can work: ${problem}`).catch((error: unknown) => {
      log.error({ err: error }, "leaves could not be told why they wait");
    });
  }

  /** A brain's life. One that can't even be started has none. */
  async #live(name: string): Promise<BrainExit> {
    const { log, brain, brainLog } = this.#options;
    try {
      this.#brain = new BrainProcess(brain, name, brainLog);
    } catch (error) {
      const note = `could not be started: ${String(error)}`;
      return { clean: false, note, livedMs: 0, problem: `a brain ${note}` };
    }
    this.#started += 1;
    log.info({ brain: name, pid: this.#brain.live?.pid }, "brain started");
    const logged = this.#brain.logged.finally(() => this.#unlogged.delete(logged));
    this.#unlogged.add(logged);
    const { badSettings, ...exit } = await this.#brain.ended;
    // A brain that never was can't be helped by trying again.
    if (this.#brain.pid === undefined) return { ...exit, problem: `a brain ${exit.note}` };
    if (!badSettings) return exit;
    await Promise.race([logged, sleep(LAST_OUTPUT_MS, undefined, { ref: false })]);
    return { ...exit, problem: `a setting of it can't be used. ${this.#brain.lastWords}` };
  }

  async #backlog(): Promise<Backlog | undefined> {
    const { store, log } = this.#options;
    return await store.backlog().catch((error: unknown) => {
      log.error({ err: error }, "the queue can't be read");
      return undefined;
    });
  }
}

function waitMs(backlog: Backlog): number {
  const dueMs = backlog.nextDueMs === undefined ? MAX_WAIT_MS : backlog.nextDueMs - Date.now();
  return Math.min(MAX_WAIT_MS, Math.max(MIN_WAIT_MS, dueMs));
}
