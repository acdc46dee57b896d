import type { Schedule } from "@serverless-harness/proto/leaf";
import { isTerminal, type LeafStore } from "@serverless-harness/session";

/** A leaf that is not over, and how far its log was read. */
export interface OpenLeaf {
  readonly leafId: string;
  readonly lastSeq: bigint;
}

/** Leaves of earlier fires that are not over, and what waits for their ends. */
export class OpenLeaves {
  readonly #store: Pick<LeafStore, "get" | "follow">;
  readonly #stopping: AbortSignal;
  /** What waits, by leaf: each leaf is waited for once. */
  readonly #waiting = new Map<string, Promise<void>>();

  constructor(store: Pick<LeafStore, "get" | "follow">, stopping: AbortSignal) {
    this.#store = store;
    this.#stopping = stopping;
  }

  /** A leaf of the schedule's last fires that is not over. */
  async of({ recentFires }: Schedule): Promise<OpenLeaf | undefined> {
    for (const { leafId } of recentFires) {
      const leaf = leafId === "" ? undefined : await this.#store.get(leafId);
      if (leaf !== undefined && !isTerminal(leaf.state)) return { leafId, lastSeq: leaf.lastSeq };
    }
    return undefined;
  }

  /** Do something once the leaf is over. What is lost with the process, or with an error, the schedule's own time brings back. */
  whenOver({ leafId, lastSeq }: OpenLeaf, work: () => Promise<void>): void {
    if (this.#waiting.has(leafId)) return;
    const waiting = this.#follow(leafId, lastSeq)
      .then(async (over) => {
        this.#waiting.delete(leafId);
        if (over) await work();
      })
      .catch(() => void this.#waiting.delete(leafId));
    this.#waiting.set(leafId, waiting);
  }

  /** Resolves when nothing waits any more, after the signal. */
  async closed(): Promise<void> {
    await Promise.all(this.#waiting.values());
  }

  async #follow(leafId: string, afterSeq: bigint): Promise<boolean> {
    for await (const { event } of this.#store.follow(leafId, afterSeq, this.#stopping)) {
      if (event.case === "stateChanged" && isTerminal(event.value.state)) return true;
    }
    return false;
  }
}
