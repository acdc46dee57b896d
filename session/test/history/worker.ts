import { setTimeout as delay } from "node:timers/promises";
import type { Claim } from "../../contract/claim.ts";
import type { LeafStore } from "../../contract/leaf-store.ts";
import { delta, done, failureOf, NEVER, workerOf } from "../../testing/build.ts";
import type { Recorder } from "./recorder.ts";

/** Long enough for most steps, short enough for many to be stopped over its end. */
const LEASE_MS = 250;

/** Claims leaves and does this and that with them. */
export class Worker {
  readonly #store: LeafStore;
  readonly #recorder: Recorder;
  readonly #name: string;
  readonly #random: () => number;
  #texts = 0;

  constructor(store: LeafStore, recorder: Recorder, name: string, random: () => number) {
    this.#store = store;
    this.#recorder = recorder;
    this.#name = name;
    this.#random = random;
  }

  /** Work until `isOver` says so and nothing is left. */
  async run(isOver: () => boolean): Promise<void> {
    for (;;) {
      const take = () => this.#store.claim(workerOf(this.#name), LEASE_MS);
      const claim = await this.#recorder.record("claim", { leaseMs: LEASE_MS }, take, (each) => (each ? ofClaim(each) : {}));
      if (claim !== undefined) {
        while (await this.#step(claim)) await delay(this.#random() * 10);
        continue;
      }
      const left = await this.#store.backlog().catch(() => undefined);
      if (isOver() && left !== undefined && left.ready + left.running === 0 && left.nextDueMs === undefined) return;
      await this.#store.waitForWork(200, NEVER);
    }
  }

  /** One step with a leaf; false: it lets go of it. */
  async #step(claim: Claim): Promise<boolean> {
    const dice = this.#random();
    if (dice < 0.4) return this.#append(claim);
    if (dice < 0.5) return this.#appendOnce(claim);
    if (dice < 0.7) {
      const asked = { ...ofClaim(claim), leaseMs: LEASE_MS };
      return (await this.#recorder.record("heartbeat", asked, () => this.#store.heartbeat(claim, LEASE_MS))) !== undefined;
    }
    if (dice < 0.76) {
      // Past the lease's end, and on with the claim as if nothing had happened.
      await delay(this.#random() * 400);
      return true;
    }
    await this.#letGo(claim, dice);
    // Now and then it does not notice that it is over.
    return this.#random() < 0.2;
  }

  async #append(claim: Claim): Promise<boolean> {
    const texts = Array.from({ length: 1 + Math.floor(this.#random() * 3) }, () => this.#text(":"));
    const call = async (): Promise<true> => {
      await this.#store.append(
        claim,
        texts.map((text) => delta(text)),
      );
      return true;
    };
    return (await this.#recorder.record("append", { ...ofClaim(claim), texts }, call)) ?? false;
  }

  async #appendOnce(claim: Claim): Promise<true> {
    const key = `k${Math.floor(this.#random() * 3)}`;
    const text = `${claim.leaf.leafId}:${key}`;
    const asked = { ...ofClaim(claim), texts: [text], keyed: true };
    await this.#recorder.record("append", asked, () => this.#store.append(claim, [delta(text, key)]));
    return true;
  }

  async #letGo(claim: Claim, dice: number): Promise<void> {
    const owned = ofClaim(claim);
    if (dice < 0.8) {
      const notBeforeMs = Date.now() + this.#random() * 100;
      await this.#recorder.record("retry", owned, () => this.#store.retry(claim, failureOf("x"), notBeforeMs, []));
    } else if (dice < 0.86) {
      await this.#recorder.record("release", owned, () => this.#store.release(claim, "drained"));
    } else {
      const result = this.#text("-");
      await this.#recorder.record("finish", { ...owned, texts: [result] }, () => this.#store.finish(claim, done(result), []));
    }
  }

  /** A text that nobody else appends; with a colon it is one of the log. */
  #text(mark: ":" | "-"): string {
    this.#texts++;
    return `${this.#name}${mark}${this.#texts}`;
  }
}

function ofClaim({ leaf, fence }: Claim) {
  return { leafId: leaf.leafId, sessionId: fence.sessionId, epoch: Number(fence.epoch) };
}
