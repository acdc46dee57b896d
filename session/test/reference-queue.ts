/** What the store promises about the queue, in as few lines as it takes: no storage, no speed. */

/** A leaf of the reference. */
export interface ReferenceLeaf {
  readonly tenant: string;
  readonly session: string;
  readonly priority: number;
  state: "queued" | "running" | "suspended" | "awaiting_approval" | "retrying" | "done" | "failed" | "cancelled";
  worker: string | undefined;
  /** Not claimed before this time: a retry's, the lease's end while it runs, a wait's; infinite where no time ends the wait. */
  dueMs: number;
  /** What it waits for beside the time. */
  wait: { readonly gates: readonly string[]; readonly key: string | undefined } | undefined;
  epoch: number;
  claims: number;
  failedAttempts: number;
  attempts: number;
  redrives: number;
  lost: boolean;
  cancel: boolean;
  readonly log: string[];
  readonly keys: Set<string>;
  /** Deadline, and whether it is decided. */
  readonly gates: Map<string, { readonly deadlineMs: number; decided: boolean }>;
  readonly wakes: Map<string, "sent" | "used">;
  endedMs: number;
  gone: boolean;
}

/** A claim as the reference sees it. */
export interface ReferenceClaim {
  readonly leaf: number;
  readonly epoch: number;
  readonly takeover: boolean;
}

const OVER: ReadonlySet<ReferenceLeaf["state"]> = new Set(["done", "failed", "cancelled"]);

/** The reference queue; leaves are named by their number of submission. */
export class ReferenceQueue {
  nowMs = 1_000_000;
  readonly leaves: ReferenceLeaf[] = [];
  readonly tenants = new Map<string, { weight: number; maxRunning: number }>();
  readonly #epochs = new Map<string, number>();
  readonly #passes = new Map<string, number>();
  /** Gates that a human decided, not their deadline. */
  readonly #humans = new Set<object>();
  #clock = 0;

  submit(tenant: string, session: string, priority: number): void {
    this.leaves.push({
      tenant,
      session: `${tenant}/${session}`,
      priority,
      state: "queued",
      worker: undefined,
      dueMs: 0,
      wait: undefined,
      epoch: 0,
      claims: 0,
      failedAttempts: 0,
      attempts: 0,
      redrives: 0,
      lost: false,
      cancel: false,
      log: ["queued"],
      keys: new Set(),
      gates: new Map(),
      wakes: new Map(),
      endedMs: 0,
      gone: false,
    });
  }

  claim(worker: string, leaseMs: number): ReferenceClaim | undefined {
    const tenant = this.#nextTenant();
    if (tenant === undefined) return undefined;
    const ready = this.leaves.filter((leaf) => leaf.tenant === tenant && this.#isReady(leaf));
    const leaf = ready.reduce((best, each) => (each.priority > best.priority ? each : best));
    this.#clock = this.#passOf(tenant);
    this.#passes.set(tenant, this.#clock + Math.floor(1_000_000 / (this.tenants.get(tenant)?.weight ?? 1)));
    const epoch = Math.max((this.#epochs.get(leaf.session) ?? 0) + 1, this.nowMs);
    this.#epochs.set(leaf.session, epoch);
    const takeover = leaf.state === "running" || leaf.lost;
    Object.assign(leaf, {
      state: "running",
      worker,
      dueMs: this.nowMs + leaseMs,
      epoch,
      claims: leaf.claims + 1,
      lost: false,
      wait: undefined,
    });
    leaf.log.push("running");
    return { leaf: this.leaves.indexOf(leaf), epoch, takeover };
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
    if (state === "retrying" || state === "failed") leaf.attempts++;
    Object.assign(leaf, { state, worker: undefined, dueMs: leaf.cancel ? 0 : dueMs, lost, wait: undefined });
    leaf.log.push(state);
    if (!OVER.has(state)) return;
    leaf.endedMs = this.nowMs;
    leaf.gates.clear();
    leaf.wakes.clear();
  }

  releaseWorker(worker: string): number {
    const held = this.leaves.filter((leaf) => leaf.worker === worker);
    for (const leaf of held) this.end(leaf, "suspended", 0, true);
    return held.length;
  }

  suspend(leaf: ReferenceLeaf, wait: { gates: readonly string[]; key: string | undefined; notBeforeMs: number | undefined }): void {
    const { gates, key, notBeforeMs } = wait;
    const asked = gates.map((gate) => leaf.gates.get(gate));
    const times = asked.map((gate) => gate?.deadlineMs ?? 0).filter((time) => time > 0);
    if (notBeforeMs !== undefined) times.push(notBeforeMs);
    const isKnown = key !== undefined && leaf.wakes.has(key);
    if (isKnown) leaf.wakes.set(key, "used");
    const isEmpty = gates.length === 0 && key === undefined && notBeforeMs === undefined;
    const isOver = isEmpty || isKnown || leaf.cancel || times.some((time) => time <= this.nowMs) || asked.some((gate) => gate?.decided);
    if (isOver) this.end(leaf, "suspended");
    else {
      this.end(leaf, gates.length > 0 ? "awaiting_approval" : "suspended", Math.min(...times));
      leaf.wait = { gates, key };
    }
  }

  wake(leaf: ReferenceLeaf, key: string): boolean {
    if (OVER.has(leaf.state)) return false;
    const known = leaf.wakes.get(key);
    if (known !== undefined) return known === "sent";
    const waits = leaf.wait?.key === key;
    leaf.wakes.set(key, waits ? "used" : "sent");
    if (waits) this.#endWait(leaf);
    return true;
  }

  openGate(leaf: ReferenceLeaf, gateId: string, deadlineMs: number): boolean {
    const gate = leaf.gates.get(gateId) ?? { deadlineMs, decided: false };
    if (!leaf.gates.has(gateId)) leaf.log.push("gateOpened");
    leaf.gates.set(gateId, gate);
    if (!gate.decided && gate.deadlineMs > 0 && gate.deadlineMs <= this.nowMs) this.#decideGate(leaf, gateId, gate);
    return gate.decided;
  }

  /** What comes out of a decision: a reason, or `ok`. All decisions are the same one but the deadline's. */
  decide(leaf: ReferenceLeaf, gateId: string): string {
    if (leaf.gone) return "leaf_not_found";
    if (OVER.has(leaf.state)) return "leaf_ended";
    const gate = leaf.gates.get(gateId);
    if (gate === undefined) return "gate_not_found";
    const isLate = gate.deadlineMs > 0 && gate.deadlineMs <= this.nowMs;
    if (!gate.decided) {
      if (!isLate) this.#humans.add(gate);
      this.#decideGate(leaf, gateId, gate);
    }
    return this.#humans.has(gate) ? "ok" : "gate_decided";
  }

  cancel(leaf: ReferenceLeaf): void {
    if (OVER.has(leaf.state) || leaf.cancel) return;
    leaf.cancel = true;
    leaf.log.push("cancelRequested");
    if (leaf.state === "queued") this.end(leaf, "cancelled");
    else if (leaf.wait !== undefined || leaf.state === "retrying") this.#endWait(leaf);
  }

  redrive(leaf: ReferenceLeaf): string {
    if (leaf.gone) return "leaf_not_found";
    if (!OVER.has(leaf.state)) return "ok";
    if (leaf.state !== "failed") return "leaf_not_failed";
    Object.assign(leaf, { state: "queued", dueMs: 0, attempts: 0, failedAttempts: 0, cancel: false, redrives: leaf.redrives + 1 });
    leaf.log.push("queued");
    return "ok";
  }

  sweep(leafMs: number): number {
    const old = this.leaves.filter((leaf) => !leaf.gone && OVER.has(leaf.state) && leaf.endedMs <= this.nowMs - leafMs);
    for (const leaf of old) leaf.gone = true;
    return old.length;
  }

  backlog(): { ready: number; running: number; nextDueMs?: number } {
    const queued = this.leaves.filter((leaf) => leaf.state === "running" || (!OVER.has(leaf.state) && this.#isFirst(leaf)));
    const waiting = queued.map((leaf) => leaf.dueMs).filter((dueMs) => dueMs > this.nowMs && dueMs < Number.POSITIVE_INFINITY);
    const tenants = [...new Set(this.leaves.map((leaf) => leaf.tenant))];
    return {
      ready: tenants.reduce((sum, tenant) => sum + this.#claimable(tenant), 0),
      running: this.leaves.filter((leaf) => this.#isHeld(leaf)).length,
      ...(waiting.length === 0 ? {} : { nextDueMs: Math.min(...waiting) }),
    };
  }

  #claimable(tenant: string): number {
    const { maxRunning } = this.tenants.get(tenant) ?? { maxRunning: 0 };
    const own = this.leaves.filter((leaf) => leaf.tenant === tenant);
    const room = maxRunning === 0 ? own.length : Math.max(0, maxRunning - own.filter((leaf) => this.#isHeld(leaf)).length);
    return Math.min(room, own.filter((leaf) => this.#isReady(leaf)).length);
  }

  #nextTenant(): string | undefined {
    const names = new Set(this.leaves.filter((leaf) => this.#isReady(leaf)).map((leaf) => leaf.tenant));
    const running = (tenant: string): number => this.leaves.filter((leaf) => leaf.tenant === tenant && this.#isHeld(leaf)).length;
    const candidates = [...names].sort().filter((tenant) => {
      const { maxRunning } = this.tenants.get(tenant) ?? { maxRunning: 0 };
      return maxRunning === 0 || running(tenant) < maxRunning;
    });
    return candidates.sort((a, b) => this.#passOf(a) - this.#passOf(b))[0];
  }

  #passOf(tenant: string): number {
    return Math.max(this.#passes.get(tenant) ?? 0, this.#clock);
  }

  #decideGate(leaf: ReferenceLeaf, gateId: string, gate: { decided: boolean }): void {
    gate.decided = true;
    leaf.log.push("gateDecided");
    if (leaf.wait?.gates.includes(gateId)) this.#endWait(leaf);
  }

  #endWait(leaf: ReferenceLeaf): void {
    Object.assign(leaf, { state: "suspended", dueMs: 0, wait: undefined });
    leaf.log.push("suspended");
  }

  /** What runs keeps its session until it is let go of, also beyond its lease; then the oldest is next. */
  #isFirst(leaf: ReferenceLeaf): boolean {
    const open = this.leaves.filter((other) => other.session === leaf.session && !OVER.has(other.state));
    return (open.find((other) => other.state === "running") ?? open[0]) === leaf;
  }

  #isReady(leaf: ReferenceLeaf): boolean {
    return !OVER.has(leaf.state) && this.#isFirst(leaf) && leaf.dueMs <= this.nowMs;
  }

  /** It is under a live lease. */
  #isHeld(leaf: ReferenceLeaf): boolean {
    return leaf.state === "running" && leaf.dueMs > this.nowMs;
  }
}
