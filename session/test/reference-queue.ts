/** What the store promises about the queue, in as few lines as it takes: no storage, no speed. */

/** A leaf of the reference. */
export interface ReferenceLeaf {
  readonly session: string;
  state: "queued" | "running" | "suspended" | "retrying" | "done";
  worker: string | undefined;
  /** Not claimed before this time: a retry's, or the lease's end while it runs. */
  dueMs: number;
  epoch: number;
  claims: number;
  failedAttempts: number;
  lost: boolean;
  readonly log: string[];
  readonly keys: Set<string>;
}

/** A claim as the reference sees it. */
export interface ReferenceClaim {
  readonly leaf: number;
  readonly epoch: number;
  readonly takeover: boolean;
}

/** The reference queue; leaves are named by their number of submission. */
export class ReferenceQueue {
  nowMs = 1_000_000;
  readonly leaves: ReferenceLeaf[] = [];
  readonly #epochs = new Map<string, number>();

  submit(session: string): void {
    this.leaves.push({
      session,
      state: "queued",
      worker: undefined,
      dueMs: 0,
      epoch: 0,
      claims: 0,
      failedAttempts: 0,
      lost: false,
      log: ["queued"],
      keys: new Set(),
    });
  }

  claim(worker: string, leaseMs: number): ReferenceClaim | undefined {
    const number = this.leaves.findIndex((leaf) => this.#isReady(leaf));
    const leaf = this.leaves[number];
    if (leaf === undefined) return undefined;
    const epoch = Math.max((this.#epochs.get(leaf.session) ?? 0) + 1, this.nowMs);
    this.#epochs.set(leaf.session, epoch);
    const takeover = leaf.state === "running" || leaf.lost;
    Object.assign(leaf, { state: "running", worker, dueMs: this.nowMs + leaseMs, epoch, claims: leaf.claims + 1, lost: false });
    leaf.log.push("running");
    return { leaf: number, epoch, takeover };
  }

  /** The claimed leaf, or `undefined` where the claim no longer holds it. */
  held(claim: ReferenceClaim): ReferenceLeaf | undefined {
    const leaf = this.leaves[claim.leaf];
    return leaf?.state === "running" && leaf.epoch === claim.epoch ? leaf : undefined;
  }

  append(leaf: ReferenceLeaf, text: string, key: string): void {
    if (leaf.keys.has(key)) return;
    leaf.keys.add(key);
    leaf.log.push(text);
  }

  /** Let go of a leaf: for good, until `dueMs`, or because its worker is lost. */
  end(leaf: ReferenceLeaf, state: ReferenceLeaf["state"], dueMs = 0, lost = false): void {
    if (state === "retrying") leaf.failedAttempts++;
    Object.assign(leaf, { state, worker: undefined, dueMs, lost });
    leaf.log.push(state);
  }

  releaseWorker(worker: string): number {
    const held = this.leaves.filter((leaf) => leaf.worker === worker);
    for (const leaf of held) this.end(leaf, "suspended", 0, true);
    return held.length;
  }

  backlog(): { ready: number; running: number; nextDueMs?: number } {
    const waiting = this.leaves.filter((leaf) => this.#isFirst(leaf) && leaf.dueMs > this.nowMs).map((leaf) => leaf.dueMs);
    return {
      ready: this.leaves.filter((leaf) => this.#isReady(leaf)).length,
      running: this.leaves.filter((leaf) => leaf.state === "running" && leaf.dueMs > this.nowMs).length,
      ...(waiting.length === 0 ? {} : { nextDueMs: Math.min(...waiting) }),
    };
  }

  #isFirst(leaf: ReferenceLeaf): boolean {
    return this.leaves.find((other) => other.session === leaf.session && other.state !== "done") === leaf;
  }

  #isReady(leaf: ReferenceLeaf): boolean {
    return this.#isFirst(leaf) && leaf.dueMs <= this.nowMs;
  }
}
