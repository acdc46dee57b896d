import { setTimeout as sleep } from "node:timers/promises";
import type { AddressRule } from "@serverless-harness/kit/address-rule";
import type { Logger } from "@serverless-harness/kit/log";
import type { ClaimedNotice, LeafStore, NoticeEnd } from "@serverless-harness/session";
import { type Message, messageOf } from "./message.ts";
import { type Progress, readProgress, type TargetProgress, writeProgress } from "./progress.ts";
import { type RetryBounds, waitAfter } from "./retry-policy.ts";
import { deliver } from "./send.ts";
import { signedHeaders } from "./signature.ts";
import type { Plan, Target, Webhooks } from "./webhooks.ts";

type Store = Pick<LeafStore, "get" | "events" | "claimNotices" | "settleNotice" | "waitForNotices">;

/** What {@link Outbox} needs. */
export interface OutboxOptions {
  readonly store: Store;
  readonly webhooks: Webhooks;
  readonly rule: AddressRule;
  readonly retry: RetryBounds;
  /** An answer is waited for so long, in milliseconds. */
  readonly timeoutMs: number;
  readonly log: Logger;
}

/** Messages under way at once, of all tenants and of one: whoever is slow leaves room for the others. */
const AT_ONCE = 64;
const PER_TENANT = 4;
const LONGEST_WAIT_MS = 5000;
const STORE_RETRY_MS = 1000;
/** A claim lasts for this long beyond the deliveries themselves. */
const SPARE_MS = 5000;

/**
 * Delivers what stands in the store's outbox, over and over until it is delivered or was tried often enough. Several dispatchers share the work; a message
 * of one that is killed in the middle is sent again by another, under the same id.
 */
export class Outbox {
  readonly #options: OutboxOptions;
  readonly #stopping = new AbortController();
  readonly #underWay = new Set<Promise<void>>();
  readonly #perTenant = new Map<string, number>();
  #freed = Promise.withResolvers<void>();
  #running: Promise<void> | undefined;

  constructor(options: OutboxOptions) {
    this.#options = options;
  }

  start(): void {
    this.#running ??= this.#run();
  }

  /** Begin no more, and cut what is under way: it is sent again. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#freed.resolve();
    await this.#running;
    await Promise.all(this.#underWay);
  }

  async #run(): Promise<void> {
    const { store, timeoutMs, log } = this.#options;
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      this.#freed = Promise.withResolvers();
      const room = AT_ONCE - this.#underWay.size;
      const busy = [...this.#perTenant].filter(([, count]) => count >= PER_TENANT).map(([tenant]) => tenant);
      try {
        const claimed = room > 0 ? await store.claimNotices(room, busy, timeoutMs + SPARE_MS) : [];
        for (const notice of claimed) this.#begin(notice);
        if (claimed.length === 0) await this.#untilMore(room, busy);
      } catch (error) {
        log.error({ err: error }, "webhooks can't be read from the store: tried again");
        await sleep(STORE_RETRY_MS, undefined, { signal }).catch(() => undefined);
      }
    }
  }

  /** Until something is due, or somebody has room again who had none. */
  async #untilMore(room: number, busy: readonly string[]): Promise<void> {
    if (room === 0) return this.#freed.promise;
    const over = new AbortController();
    const wait = this.#options.store.waitForNotices(busy, LONGEST_WAIT_MS, AbortSignal.any([this.#stopping.signal, over.signal]));
    await Promise.race([wait, this.#freed.promise]);
    over.abort();
    await wait;
  }

  #begin(notice: ClaimedNotice): void {
    const { tenant, leafId, seq } = notice;
    this.#count(tenant, 1);
    const work = this.#tell(notice)
      .catch((error: unknown) => {
        // Its claim ends by time, and whoever is next tells it.
        this.#options.log.error({ err: error, leaf: leafId, seq: String(seq) }, "a webhook could not be handled: it is tried again");
      })
      .finally(() => {
        this.#underWay.delete(work);
        this.#count(tenant, -1);
        this.#freed.resolve();
      });
    this.#underWay.add(work);
  }

  #count(tenant: string, change: number): void {
    const count = (this.#perTenant.get(tenant) ?? 0) + change;
    if (count === 0) this.#perTenant.delete(tenant);
    else this.#perTenant.set(tenant, count);
  }

  async #tell(notice: ClaimedNotice): Promise<void> {
    const { store, webhooks, log } = this.#options;
    const leaf = await store.get(notice.leafId);
    const [event] = await store.events(notice.leafId, notice.seq - 1n, 1);
    const message = leaf === undefined || event === undefined ? undefined : messageOf(leaf, event);
    if (leaf === undefined || message === undefined) {
      log.warn({ leaf: notice.leafId, seq: String(notice.seq) }, "the leaf of a webhook is gone: nobody is told");
      await store.settleNotice(notice, { kind: "done" });
      return;
    }
    await store.settleNotice(notice, endOf(await this.#deliver(message, webhooks.planOf(leaf), notice)));
  }

  /** Send a message to each address that it is due for. */
  async #deliver(message: Message, plan: Plan, { note, claimedAtMs }: ClaimedNotice): Promise<Progress> {
    const before = readProgress(note);
    const started = performance.now();
    const now = (): number => claimedAtMs + performance.now() - started;
    const targets = plan.targets.filter(({ events }) => events.has(message.type));
    const attempt = async (target: Target): Promise<[string, TargetProgress]> => {
      const far = before[target.key] ?? { attempts: 0 };
      const isDue = far.end === undefined && (far.nextMs ?? 0) <= claimedAtMs;
      return [target.key, isDue ? await this.#attempt(message, plan, target, far, now) : far];
    };
    return Object.fromEntries(await Promise.all(targets.map(attempt)));
  }

  /** `now`: the store's clock, by which attempts are due. */
  async #attempt(
    { id, body, type }: Message,
    { secrets }: Plan,
    target: Target,
    before: TargetProgress,
    now: () => number,
  ): Promise<TargetProgress> {
    const { rule, retry, timeoutMs, log } = this.#options;
    const attempts = before.attempts + 1;
    const url = new URL(target.url);
    const told = { webhook: id, type, target: target.key, host: url.host, attempts };
    if (secrets.length === 0) return { attempts, end: "dead", error: "no secret is set up for its tenant" };
    const headers = signedHeaders(id, Date.now(), body, secrets);
    const delivery = await deliver(url, headers, body, { rule, timeoutMs, signal: this.#stopping.signal });
    if (delivery.ok) {
      log.info(told, "webhook delivered");
      return { attempts, end: "delivered" };
    }
    const error = delivery.text;
    // What the end of this dispatcher cut was no attempt: another one makes it.
    if (this.#stopping.signal.aborted) return { ...before, nextMs: 0 };
    if (delivery.final || attempts >= retry.attempts) {
      log.error({ ...told, error }, "a webhook was given up: send it again with WebhookService.Resend");
      return { attempts, error, end: "dead" };
    }
    const waitMs = waitAfter(attempts, retry, delivery.retryAfterMs);
    log.warn({ ...told, error, waitMs }, "a webhook could not be delivered: tried again");
    return { attempts, error, nextMs: Math.ceil(now() + waitMs) };
  }
}

/** What becomes of a message whose addresses are so far. */
function endOf(progress: Progress): NoticeEnd {
  const all = Object.values(progress);
  const open = all.filter(({ end }) => end === undefined);
  const note = writeProgress(progress);
  if (open.length > 0) return { kind: "later", note, dueMs: Math.min(...open.map(({ nextMs = 0 }) => nextMs)) };
  return all.some(({ end }) => end === "dead") ? { kind: "dead", note } : { kind: "done" };
}
