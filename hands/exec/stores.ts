import type { Logger } from "@serverless-harness/kit/log";
import type { Workspaces } from "../workspaces/workspaces.ts";
import type { ExecLimits } from "./limits.ts";
import { ExecStore } from "./store.ts";

/** How often ended execs are pruned, and how long the execs of an unused workspace stay in memory. */
const PRUNE_INTERVAL_MS = 60_000;
const IDLE_MS = 5 * 60_000;

/** The execs of every workspace: each workspace's are read when they are asked for, and let go of when nobody uses them. */
export class ExecStores {
  readonly #workspaces: Workspaces;
  readonly #limits: ExecLimits;
  readonly #log: Logger;
  readonly #open = new Map<string, Promise<ExecStore>>();
  readonly #pruning: NodeJS.Timeout;

  constructor(workspaces: Workspaces, limits: ExecLimits, log: Logger) {
    this.#workspaces = workspaces;
    this.#limits = limits;
    this.#log = log;
    this.#pruning = setInterval(() => void this.prune(), PRUNE_INTERVAL_MS).unref();
  }

  /** A workspace's, read if need be. Throws if there is no such workspace, or its execs can't be read. */
  async of(name: string): Promise<ExecStore> {
    const workspace = this.#workspaces.find(name);
    let opening = this.#open.get(name);
    if (opening === undefined) {
      opening = ExecStore.open(workspace, this.#limits, this.#log);
      this.#open.set(name, opening);
      // One that can't be read now may be readable later.
      opening.catch(() => this.#open.delete(name));
    }
    const store = await opening;
    store.usedAt = performance.now();
    return store;
  }

  /** A workspace's, unless nobody has asked for it. */
  async ifOpen(name: string): Promise<ExecStore | undefined> {
    return await this.#open.get(name);
  }

  /** As {@link ifOpen}, for whoever closes it: nobody gets it any more. */
  async take(name: string): Promise<ExecStore | undefined> {
    const store = await this.#open.get(name);
    this.#open.delete(name);
    return store;
  }

  /** Those that are open, but for those that can't be read. */
  async all(): Promise<ExecStore[]> {
    const results = await Promise.allSettled(this.#open.values());
    return results.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
  }

  stopPruning(): void {
    clearInterval(this.#pruning);
  }

  /** Forget ended execs beyond the limits, and let go of workspaces that nobody uses. */
  async prune(): Promise<void> {
    for (const store of await this.all()) {
      await this.pruneOne(store);
      if (!store.isIdle || performance.now() - store.usedAt < IDLE_MS) continue;
      this.#open.delete(store.workspace.name);
      store.journal.close();
    }
  }

  async pruneOne(store: ExecStore): Promise<void> {
    try {
      await store.prune();
    } catch (error) {
      this.#log.error({ workspace: store.workspace.name, err: error }, "ended execs could not be pruned");
    }
  }
}
