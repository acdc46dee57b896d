import { Code } from "@connectrpc/connect";
import { HarnessError } from "@serverless-harness/kit/errors";
import type { Logger } from "@serverless-harness/kit/log";
import type { ScheduleRecord } from "@serverless-harness/proto/store";
import type { LeafStore } from "@serverless-harness/session";
import type { Caller } from "../callers/caller.ts";
import type { Leaves } from "../leaves.ts";
import { fireIdAt, keyOfFire, specOfFire } from "./fire-id.ts";
import { OpenLeaves } from "./open-leaves.ts";
import { asksForOverlap, decided, isAhead, refused, replanned, scheduleIn, specOfIntent, submitted } from "./plan.ts";

/** It sleeps until the next fire, but not longer: another dispatcher may take a schedule, and the clock may be set. */
const LOOK_MS = 15_000;
/** What could not be done is tried again after this time. */
const RETRY_MS = 1000;
/** Schedules that are taken on at once. */
const PAGE = 32;
/** Steps that one schedule takes before others get their turn. */
const STEPS = 64;

type Store = Pick<LeafStore, "dueSchedules" | "listSchedules" | "replaceSchedule" | "schedule" | "nowMs" | "get" | "follow">;

/**
 * Makes the fires of all schedules. Each step is decided by what was read and written only if that still stands, and a leaf is submitted under a key of
 * its fire, so any number of dispatchers may do so on one store, and each may be killed at any time: whoever comes next goes on from there.
 */
export class ScheduleDriver {
  readonly #store: Store;
  readonly #leaves: Pick<Leaves, "submit">;
  readonly #log: Logger;
  readonly #stopping = new AbortController();
  readonly #open: OpenLeaves;
  #wakeUp: () => void = () => undefined;
  #poked = false;
  #running: Promise<void> | undefined;
  /** The store's clock when it was looked at last. */
  #seenMs = Number.POSITIVE_INFINITY;
  #lastFailure = "";

  constructor(store: Store, leaves: Pick<Leaves, "submit">, log: Logger) {
    this.#store = store;
    this.#leaves = leaves;
    this.#log = log;
    this.#open = new OpenLeaves(store, this.#stopping.signal);
  }

  /** Begin with what is due by now. */
  start(): void {
    this.#running ??= this.#run();
  }

  /** Something may be due sooner than was known. */
  poke(): void {
    this.#poked = true;
    this.#wakeUp();
  }

  /** Begin nothing more; resolves when the steps that are under way are done. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#wakeUp();
    await this.#running;
    await this.#open.closed();
  }

  async #run(): Promise<void> {
    while (!this.#stopping.signal.aborted) {
      this.#poked = false;
      const waitMs = await this.look().catch((error: unknown) => this.#failed(error));
      if (!this.#poked && waitMs > 0 && !this.#stopping.signal.aborted) await this.#sleep(waitMs);
    }
  }

  /** Do what is due. Returns after how many milliseconds to look again. */
  async look(): Promise<number> {
    const { due, nextDueMs, nowMs } = await this.#store.dueSchedules(PAGE);
    const setBack = isSetBack(this.#seenMs, nowMs);
    this.#seenMs = nowMs;
    if (setBack) {
      await this.#replan(nowMs);
      return 0;
    }
    const taken = await Promise.all(due.map((record) => this.#goOn(record)));
    if (taken.includes(true)) return 0;
    // What can't be done now would be due all the time.
    if (due.length > 0) return RETRY_MS;
    this.#lastFailure = "";
    return Math.min(LOOK_MS, Math.max(1, (nextDueMs ?? Number.POSITIVE_INFINITY) - nowMs));
  }

  /** Take the steps of one schedule that are due. Returns whether it is further than it was. */
  async #goOn(record: ScheduleRecord): Promise<boolean> {
    try {
      let standing: ScheduleRecord | undefined = record;
      for (let step = 0; step < STEPS && standing !== undefined && !this.#stopping.signal.aborted; step += 1) {
        standing = await this.#store.replaceSchedule(await this.#step(standing));
        if (standing !== undefined && Number(standing.dueMs) > (await this.#store.nowMs())) break;
        if (standing?.dueMs === 0n) break;
      }
      return true;
    } catch (error) {
      this.#failed(error);
      return false;
    }
  }

  async #step(record: ScheduleRecord): Promise<ScheduleRecord> {
    if (record.submitting !== undefined) return await this.#submit(record, record.submitting.fireMs);
    const schedule = scheduleIn(record);
    const open = asksForOverlap(schedule) ? await this.#open.of(schedule) : undefined;
    const next = decided(record, await this.#store.nowMs(), open !== undefined);
    if (open !== undefined && scheduleIn(next).waitingFireMs.length > 0) {
      const { tenant, scheduleId } = schedule;
      this.#open.whenOver(open, async () => {
        const standing = await this.#store.schedule(tenant, scheduleId);
        if (standing !== undefined) await this.#goOn(standing);
      });
    }
    return next;
  }

  async #submit(record: ScheduleRecord, fireMs: bigint): Promise<ScheduleRecord> {
    const { tenant, scheduleId } = scheduleIn(record);
    const fireId = fireIdAt(scheduleId, Number(fireMs));
    try {
      const { leaf } = await this.#leaves.submit(
        submitterFor(tenant),
        specOfFire(specOfIntent(record), fireId),
        keyOfFire(scheduleId, fireMs),
      );
      this.#log.info({ tenant, scheduleId, fireId, leafId: leaf.leafId }, "a schedule fired");
      return submitted(record, leaf.leafId, await this.#store.nowMs());
    } catch (error) {
      const refusal = refusalOf(error);
      if (refusal === undefined) throw error;
      this.#log.warn({ tenant, scheduleId, fireId, err: error }, "a schedule's leaf was refused");
      return refused(record, refusal.reason, refusal.message, await this.#store.nowMs());
    }
  }

  /** The clock was set back, or nobody knows: what was worked out by one that was ahead is worked out again. */
  async #replan(nowMs: number): Promise<void> {
    for (let pageToken: string | undefined = ""; pageToken !== undefined; ) {
      const page: Awaited<ReturnType<Store["listSchedules"]>> = await this.#store.listSchedules(undefined, PAGE, pageToken);
      for (const record of page.schedules) if (isAhead(record, nowMs)) await this.#store.replaceSchedule(replanned(record, nowMs));
      pageToken = page.nextPageToken;
    }
  }

  #failed(error: unknown): number {
    // Something that lasts is told once, not with each try.
    if (this.#lastFailure !== String(error)) this.#log.warn({ err: error }, "a schedule could not go on: tried again");
    this.#lastFailure = String(error);
    return RETRY_MS;
  }

  async #sleep(ms: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wakeUp = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#wakeUp = () => undefined;
  }
}

/** Who submits the leaves of a tenant's schedules: whoever may write a schedule may have them run. */
export function submitterFor(tenant: string): Caller {
  return { kind: "schedule", tenant, subject: "", scopes: new Set(["leaves:submit"]) };
}

/** A clock of which nothing is known may have been set back while nobody looked. */
function isSetBack(seenMs: number, nowMs: number): boolean {
  return nowMs < seenMs - 1000;
}

/** What the fire's record tells of a leaf that was refused; `undefined` where the store could not be asked, so that trying again helps. */
function refusalOf(error: unknown): { reason: string; message: string } | undefined {
  if (!(error instanceof HarnessError)) return { reason: "internal", message: "a defect: the dispatcher's log has the cause" };
  const unanswered = error.code === Code.Unavailable || error.code === Code.DataLoss || error.reason === "store_full";
  return unanswered ? undefined : { reason: error.reason, message: error.message };
}
