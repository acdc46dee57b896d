import type { Metrics } from "@serverless-harness/kit/metrics";
import type { Sandbox } from "@serverless-harness/proto/leaf";
import type { LeafStore } from "@serverless-harness/session";

/** How long an answer is good, in milliseconds: whoever asks often does not ask the store each time. */
const FRESH_MS = 1000;
/** Names that a sentence has. */
const NAMED = 5;

/** How many sandboxes of the pool are in each state, and how many sessions they have. */
export interface PoolCounts {
  /** Sandboxes that take a session more, that are full, that drain, and that are not there. */
  readonly free: number;
  readonly full: number;
  readonly draining: number;
  readonly away: number;
  /** Sessions with a lease, and those that sleep. */
  readonly working: number;
  readonly sleeping: number;
}

type State = "free" | "full" | "draining" | "away";

/** What the store knows of the pool, for those who watch over it. */
export class PoolState {
  readonly #store: Pick<LeafStore, "sandboxes">;
  #asked: { readonly at: number; readonly known: ReturnType<LeafStore["sandboxes"]["list"]> } | undefined;

  constructor(store: Pick<LeafStore, "sandboxes">) {
    this.#store = store;
  }

  /** Why no leaf gets a sandbox, and what to do; `undefined` if some do, or the store can't be asked, which is told elsewhere. Never rejects. */
  async problem(): Promise<string | undefined> {
    const found = await this.#states().catch(() => undefined);
    if (found === undefined) return undefined;
    // A tenant's own laptop is away as it likes.
    const shared = found.filter(({ sandbox }) => sandbox.tenant === "");
    const all = shared.length > 0 ? shared : found;
    if (all.some(({ state }) => state !== "away")) return undefined;
    const names = all.slice(0, NAMED).map(({ sandbox }) => sandbox.name);
    if (names.length === 0)
      return "no sandbox of the pool is known, so leaves wait for one: start one that DISPATCHER_SANDBOXES names, or let one dial in";
    const more = all.length > NAMED ? ` and ${all.length - NAMED} more` : "";
    return `every sandbox of the pool is away (${names.join(", ")}${more}), so leaves wait for one: start hands there again, the dispatcher's log tells why`;
  }

  /** Why leaves wait for room, if they do; `undefined`: there is some. Never rejects. */
  async crowd(): Promise<string | undefined> {
    const counts = await this.counts().catch(() => undefined);
    if (counts === undefined || counts.free > 0 || counts.full + counts.draining === 0) return undefined;
    return `no sandbox of the pool has room (${counts.full} full, ${counts.draining} draining), so leaves wait: add one, or let one take sessions again`;
  }

  /** Rejects if the store can't be asked. */
  async counts(): Promise<PoolCounts> {
    const found = await this.#states();
    const of = (state: State): number => found.filter((each) => each.state === state).length;
    const sum = (number: (sandbox: Sandbox) => number): number => found.reduce((total, { sandbox }) => total + number(sandbox), 0);
    return {
      free: of("free"),
      full: of("full"),
      draining: of("draining"),
      away: of("away"),
      working: sum(({ working }) => working),
      sleeping: sum(({ working, placed }) => placed - working),
    };
  }

  async #states(): Promise<ReadonlyArray<{ readonly sandbox: Sandbox; readonly state: State }>> {
    const now = performance.now();
    if (this.#asked === undefined || now - this.#asked.at > FRESH_MS) this.#asked = { at: now, known: this.#store.sandboxes.list() };
    const { sandboxes, nowMs } = await this.#asked.known;
    return sandboxes.map((sandbox) => ({ sandbox, state: stateOf(sandbox, nowMs) }));
  }
}

function stateOf({ aliveUntilMs, draining, capacity, working }: Sandbox, nowMs: number): State {
  if (Number(aliveUntilMs) <= nowMs) return "away";
  if (draining) return "draining";
  return capacity === 0 || working < capacity ? "free" : "full";
}

/** What an operator watches. */
export function meterPool(state: PoolState, metrics: Metrics): void {
  metrics.gauges("dispatcher_sandboxes", "Sandboxes of the pool, by state: free, full, draining, away.", "state", async () => {
    const { free, full, draining, away } = await state.counts();
    return { free, full, draining, away };
  });
  metrics.gauges("dispatcher_sandbox_sessions", "Sessions that are in a sandbox of the pool: working, or sleeping.", "state", async () => {
    const { working, sleeping } = await state.counts();
    return { working, sleeping };
  });
}
