import { Code } from "@connectrpc/connect";
import { HarnessError } from "@serverless-harness/kit/errors";
import { type Leaf, type LeafSpec, LeafState } from "@serverless-harness/proto/leaf";
import type { LeafStore } from "@serverless-harness/session";
import { type Caller, tenantFor } from "../callers/caller.ts";
import type { Leaves } from "../leaves.ts";
import { askedIn } from "../questions.ts";
import { askedBefore, runLabels, runOf } from "../run-labels.ts";

/** A leaf to be submitted for a session. */
export interface NewRun {
  readonly spec: LeafSpec;
  /** Why it can't be worked on; empty: it can. */
  readonly unusable: string;
}

/**
 * The runs of a session: one leaf each, the next one only after the one before has failed. So a session that has a verdict, was aborted, or is
 * under way answers for every envelope that names it, whatever else the envelope says.
 */
export class SessionRuns {
  readonly #leaves: Leaves;
  readonly #store: LeafStore;

  constructor(leaves: Leaves, store: LeafStore) {
    this.#leaves = leaves;
    this.#store = store;
  }

  /** The session's newest run, or `undefined`. */
  async newest(caller: Caller, name: string): Promise<Leaf | undefined> {
    const { leaves } = await this.#store.list({ tenant: tenantFor(caller, "tenant", ""), sessionId: name, labels: runLabels(), limit: 1 });
    return leaves[0];
  }

  /** The run that answers for the session; `submit` makes one where there is none, or the last one failed. */
  async begin(caller: Caller, name: string, makeRun: () => NewRun | Promise<NewRun>): Promise<Leaf> {
    const newest = await this.newest(caller, name);
    if (newest !== undefined && newest.state !== LeafState.FAILED) return newest;
    const asked = newest === undefined ? 0 : askedBefore(newest) + (await askedIn(this.#store, newest.leafId)).length;
    const { spec, unusable } = await makeRun();
    for (let run = newest === undefined ? 0 : runOf(newest) + 1; ; run++) {
      const labels = { ...spec.labels, ...runLabels(run, asked) };
      try {
        return (await this.#leaves.submit(caller, { ...spec, labels }, `runs:${name}:${run}`, unusable)).leaf;
      } catch (error) {
        if (!(error instanceof HarnessError)) throw error;
        // Another caller's envelope for this session was first.
        if (error.reason === "idempotency_key_reused") return await this.#written(caller, name, run);
        // It was kept for as long as leaves are.
        if (error.reason !== "leaf_expired") throw error;
      }
    }
  }

  /** What another caller has just submitted under the number of a run. */
  async #written(caller: Caller, name: string, run: number): Promise<Leaf> {
    const leaf = await this.newest(caller, name);
    if (leaf === undefined || runOf(leaf) < run) throw beingWritten();
    return leaf;
  }
}

function beingWritten(): HarnessError {
  const text = "another request for this session is being written: send this one again";
  return new HarnessError(Code.Unavailable, "session_busy", text, { retryAfterMs: 1000 });
}
