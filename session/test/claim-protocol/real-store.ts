import { HarnessError } from "@serverless-harness/kit/errors";
import { LeafStateSchema } from "@serverless-harness/proto/leaf";
import type { Claim } from "../../contract/claim.ts";
import type { LeafStore } from "../../contract/leaf-store.ts";
import type { WaitingLeaves } from "../../contract/waiting.ts";
import { delta, done, failureOf, LONG_LEASE_MS, logOf, submit, words, workerOf } from "../../testing/build.ts";
import type { Action, Answer, Leaf, Write } from "./model.ts";

const WAKE = "wake-key";

/** Between two steps; so each lease can be made to end before the one step that it has to. */
const STEP_MS = 1000;

/** A store that has the steps of waiting leaves as well, or has not. */
export type Store = LeafStore & Partial<Pick<WaitingLeaves, "suspend" | "wake">>;

/** A real store that takes the machine's steps, by a clock that moves on with each. */
export class RealStore {
  readonly #store: Store;
  readonly #clock: { nowMs: number };
  readonly #sessions: readonly string[];
  readonly #leafIds: string[] = [];
  readonly #claims = new Map<number, Claim>();
  readonly #epochs = new Map<string, bigint>();
  /** Leaves that were suspended once to wait for their wake. */
  readonly #waited = new Set<string>();

  /** `walk`: makes the names of its sessions its own. */
  constructor(store: Store, clock: { nowMs: number }, sessions: readonly number[], walk: number) {
    this.#store = store;
    this.#clock = clock;
    this.#sessions = sessions.map((session) => `walk-${walk}-${session}`);
  }

  /** Take a step; the lease or the wait that it begins ends `steps` later, or never. */
  async take(action: Action, steps: number | undefined): Promise<Answer> {
    this.#clock.nowMs += STEP_MS;
    const ms = steps === undefined ? LONG_LEASE_MS * 1000 : steps * STEP_MS - STEP_MS / 2;
    switch (action.kind) {
      case "submit":
        this.#leafIds.push((await submit(this.#store, { sessionId: this.#sessions[action.leaf] ?? "" })).leafId);
        return "ok";
      case "expire":
      case "comeDue":
        return "ok";
      case "claim":
        return this.#claim(action.worker, ms);
      case "releaseWorker":
        return this.#store.releaseWorker(nameOf(action.worker), "died");
      case "wake":
        return (await this.#store.wake?.(this.#leafIds[action.leaf] ?? "", WAKE)) ?? "nothing";
      case "crash":
      case "failover":
        throw new Error(`a store does no ${action.kind}`);
      default:
        return this.#write(action.kind, this.#claimOf(action.worker, action.leaf), ms);
    }
  }

  /** What the record of a leaf says, and the machine as well. */
  async look(number: number): Promise<Pick<Leaf, "state" | "worker">> {
    const leaf = this.#leafIds[number] === undefined ? undefined : await this.#store.get(this.#leafIds[number]);
    if (leaf === undefined) return { state: "absent", worker: undefined };
    const state = LeafStateSchema.value[leaf.state]?.localName.toLowerCase() as Leaf["state"];
    return { state, worker: leaf.worker === undefined ? undefined : [0, 1].find((worker) => nameOf(worker) === leaf.worker?.name) };
  }

  /** The kinds of a leaf's events. */
  async log(number: number): Promise<string[]> {
    return words(await logOf(this.#store, this.#leafIds[number] ?? ""));
  }

  async #claim(worker: number, ms: number): Promise<Answer> {
    const claim = await this.#store.claim(workerOf(nameOf(worker)), ms);
    if (claim === undefined) return "nothing";
    const leaf = this.#leafIds.indexOf(claim.leaf.leafId);
    const { sessionId, epoch } = claim.fence;
    if (epoch <= (this.#epochs.get(sessionId) ?? 0n)) throw new Error(`epoch ${epoch} of ${sessionId} was given out twice`);
    this.#epochs.set(sessionId, epoch);
    this.#claims.set(worker * 2 + leaf, claim);
    return { leaf, epoch: Number(epoch), takeover: claim.takeover };
  }

  async #write(kind: Write, claim: Claim, ms: number): Promise<Answer> {
    const writes = {
      heartbeat: () => this.#store.heartbeat(claim, ms),
      append: () => this.#store.append(claim, [delta("text")]),
      finish: () => this.#store.finish(claim, done("x"), []),
      retry: () => this.#store.retry(claim, failureOf("x"), this.#clock.nowMs + ms, []),
      release: () => this.#store.release(claim, "drained"),
      suspend: () => this.#suspend(claim),
    };
    try {
      await writes[kind]();
      return "ok";
    } catch (error) {
      if (error instanceof HarnessError && error.reason === "stale_epoch") return "stale";
      throw error;
    }
  }

  /** It waits for its wake the first time, and for nothing after that. */
  async #suspend(claim: Claim): Promise<void> {
    const { leafId } = claim.leaf;
    await this.#store.suspend?.(claim, this.#waited.has(leafId) ? {} : { wakeKey: WAKE }, "waits", []);
    this.#waited.add(leafId);
  }

  #claimOf(worker: number, leaf: number): Claim {
    const claim = this.#claims.get(worker * 2 + leaf);
    if (claim === undefined) throw new Error("the machine holds a claim that the store never gave");
    return claim;
  }
}

function nameOf(worker: number): string {
  return `worker-${worker}`;
}
