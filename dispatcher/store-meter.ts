import type { Logger } from "@serverless-harness/kit/log";
import type { Metrics } from "@serverless-harness/kit/metrics";
import { DecisionKindSchema, LeafState } from "@serverless-harness/proto/leaf";
import type { AccountUse, Backlog, LeafStore } from "@serverless-harness/session";
import { overriding } from "./overriding.ts";
import type { Waker } from "./waker/waker.ts";

/** Tenants that have a line of their own: all others share one. */
const MOST_TENANTS = 100;
/** Leaves whose wait for a brain is timed at once. Those that come meanwhile are not: it is a sample, which costs the store next to nothing. */
const MOST_TIMED = 16;

/** What an operator watches, of the whole system: told by the store and the waker at each scrape, and counted from what goes through this dispatcher. */
export class StoreMeter {
  /** The store, whose changes are counted. */
  readonly store: LeafStore;
  readonly #inner: LeafStore;
  readonly #log: Logger;
  /** By leaf: since when it waits, milliseconds since the Unix epoch. */
  readonly #timed = new Map<string, number>();
  readonly #stop = new AbortController();
  /** The backlog that is being read: a scrape asks for it more than once at the same time. */
  #backlog: Promise<Backlog> | undefined;
  /** The first tenants that leaves were made here for, and what each has and used, while that is being read. */
  readonly #tenants = new Set<string>();
  #uses: Promise<ReadonlyArray<readonly [tenant: string, use: AccountUse]>> | undefined;
  readonly #claimed: (seconds: number) => void;

  constructor(store: LeafStore, metrics: Metrics, log: Logger) {
    this.#inner = store;
    this.#log = log;
    this.store = this.#counting(metrics);
    this.#claimed = metrics.duration(
      "dispatcher_claim_wait_seconds",
      "How long leaves wait from their submission until a brain claims them, of a sample of those submitted here.",
    );
    metrics.gauges(
      "dispatcher_leaves",
      "Leaves that can be claimed this moment (ready), and those under a live lease (running).",
      "state",
      async () => {
        const { ready, running } = await this.#readBacklog();
        return { ready, running };
      },
    );
    this.#meterTenants(metrics);
    metrics.gauge("dispatcher_store_up", "1 while the leaf store can be read, else 0.", () =>
      this.#readBacklog().then(
        () => 1,
        () => 0,
      ),
    );
    metrics.gauge(
      "dispatcher_oldest_wait_seconds",
      "How long the oldest of the timed leaves has been waiting for a brain; 0: none waits.",
      () => (this.#timed.size === 0 ? 0 : Math.max(0, (Date.now() - Math.min(...this.#timed.values())) / 1000)),
    );
  }

  #meterTenants(metrics: Metrics): void {
    const gauges = (name: string, help: string, of: (use: AccountUse) => number): void =>
      metrics.gauges(name, `${help} By tenant: the first hundred that leaves were made here for.`, "tenant", async () =>
        Object.fromEntries((await this.#readUses()).map(([tenant, use]) => [tenant, of(use)])),
      );
    gauges("dispatcher_tenant_unfinished_leaves", "Leaves that are not over.", ({ unfinished }) => unfinished);
    gauges("dispatcher_tenant_bytes", "Bytes that leaves take.", ({ bytes }) => bytes);
    gauges("dispatcher_tenant_tokens_today", "Tokens that models read and wrote today (UTC).", ({ tokens }) => tokens);
    gauges("dispatcher_tenant_usd_today", "What that cost, in US dollars.", ({ microUsd }) => microUsd / 1e6);
  }

  /** End what is timed. */
  stop(): void {
    this.#stop.abort();
  }

  #readBacklog(): Promise<Backlog> {
    this.#backlog ??= this.#inner.backlog().finally(() => {
      this.#backlog = undefined;
    });
    return this.#backlog;
  }

  #readUses(): Promise<ReadonlyArray<readonly [tenant: string, use: AccountUse]>> {
    const read = async (tenant: string) => [tenant, await this.#inner.accountUse(tenant, "")] as const;
    this.#uses ??= Promise.all([...this.#tenants].map(read)).finally(() => {
      this.#uses = undefined;
    });
    return this.#uses;
  }

  #counting(metrics: Metrics): LeafStore {
    const inner = this.#inner;
    const submitted = metrics.countBy(
      "dispatcher_leaves_submitted_total",
      "Leaves that were made here, by tenant: the first hundred by name, those of all others as `other`.",
      "tenant",
      MOST_TENANTS,
    );
    const repeated = metrics.counter(
      "dispatcher_submissions_repeated_total",
      "Submissions whose idempotency key was known: they made no leaf.",
    );
    const kinds = DecisionKindSchema.values.map(({ localName }) => localName.toLowerCase());
    const decisions = metrics.counter("dispatcher_decisions_total", "Gates that were answered here.", { name: "kind", values: kinds });
    const cancels = metrics.counter("dispatcher_cancels_total", "Cancels that were asked for here.");
    const redrives = metrics.counter("dispatcher_redrives_total", "Failed leaves that were queued again here.");
    const dead = metrics.counter("dispatcher_webhooks_dead_total", "Webhooks that were given up here.");
    return overriding<LeafStore>(inner, {
      submit: async (leaf) => {
        const answer = await inner.submit(leaf);
        if (!answer.created) repeated.add(1);
        else {
          submitted(leaf.spec.tenant);
          if (this.#tenants.size < MOST_TENANTS) this.#tenants.add(leaf.spec.tenant);
          this.#time(answer.leaf.leafId);
        }
        return answer;
      },
      decide: async (leafId, gateId, decision) => {
        const gate = await inner.decide(leafId, gateId, decision);
        decisions.add(1, DecisionKindSchema.value[decision.kind]?.localName.toLowerCase() ?? "unspecified");
        return gate;
      },
      cancel: async (leafId, requestedBy) => {
        const leaf = await inner.cancel(leafId, requestedBy);
        cancels.add(1);
        return leaf;
      },
      redrive: async (leafId, fromStart) => {
        const leaf = await inner.redrive(leafId, fromStart);
        redrives.add(1);
        return leaf;
      },
      settleNotice: async (notice, outcome) => {
        const settled = await inner.settleNotice(notice, outcome);
        if (outcome.kind === "dead") dead.add(1);
        return settled;
      },
    });
  }

  #time(leafId: string): void {
    if (this.#timed.size >= MOST_TIMED || this.#stop.signal.aborted) return;
    this.#timed.set(leafId, Date.now());
    this.#untilClaimed(leafId)
      .catch((error: unknown) => this.#log.debug({ err: error, leaf: leafId }, "a leaf's wait could not be timed"))
      .finally(() => this.#timed.delete(leafId));
  }

  /** By the store's clock, which wrote both events. */
  async #untilClaimed(leafId: string): Promise<void> {
    let sinceMs: bigint | undefined;
    for await (const { event, timeMs } of this.#inner.follow(leafId, 0n, this.#stop.signal)) {
      sinceMs ??= timeMs;
      if (event.case !== "stateChanged" || event.value.state === LeafState.QUEUED) continue;
      if (event.value.state === LeafState.RUNNING) this.#claimed(Number(timeMs - sinceMs) / 1000);
      return;
    }
  }
}

/** What the waker knows of its brains. */
export function meterBrains(waker: Waker, metrics: Metrics): void {
  metrics.gauge("dispatcher_brains", "Brains of this dispatcher that live.", () => waker.status().brains.length);
  metrics.gauge("dispatcher_wakes_in_flight", "Calls that wake brains and are under way.", () => waker.status().wakes?.inFlight ?? 0);
  metrics.total("dispatcher_brains_started_total", "Brains that were started.", () => waker.status().brainsStarted);
  metrics.total(
    "dispatcher_brains_crashed_total",
    "Brains that ended by a signal or an error, or could not be started.",
    () => waker.status().brainsCrashed,
  );
  metrics.total("dispatcher_brain_seconds_total", "Seconds that brains lived.", () => waker.status().brainSeconds);
  metrics.total(
    "dispatcher_wakes_failed_total",
    "Calls to wake a brain that failed; they are made again.",
    () => waker.status().wakes?.failed ?? 0,
  );
}
