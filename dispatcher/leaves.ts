import { Code } from "@connectrpc/connect";
import { HarnessError } from "@serverless-harness/kit/errors";
import type { Leaf, LeafEvent, LeafSpec } from "@serverless-harness/proto/leaf";
import { isTerminal, type LeafStore } from "@serverless-harness/session";
import { type Drain, shuttingDown } from "./drain.ts";
import { validateEnvelope } from "./envelope.ts";
import type { Waker } from "./waker/waker.ts";

/** Everything that a client can do with leaves, whatever protocol it speaks. */
export class Leaves {
  readonly #store: LeafStore;
  readonly #waker: Waker;
  readonly #drain: Drain;

  constructor(store: LeafStore, waker: Waker, drain: Drain) {
    this.#store = store;
    this.#waker = waker;
    this.#drain = drain;
  }

  /** Validate, write and wake. The leaf is durable when it returns; `created` is false where the idempotency key was known. */
  async submit(spec: LeafSpec | undefined, idempotencyKey: string): Promise<{ leaf: Leaf; created: boolean }> {
    const submitted = await this.#store.submit(await validateEnvelope(spec, idempotencyKey));
    if (submitted.created) this.#waker.wake("submit");
    return submitted;
  }

  /** A leaf's record. NOT_FOUND where the id is unknown. */
  async get(leafId: string): Promise<Leaf> {
    const leaf = await this.#store.get(leafId);
    if (leaf !== undefined) return leaf;
    throw new HarnessError(Code.NotFound, "leaf_not_found", "no leaf has this id: check it, or find the leaf with List");
  }

  /**
   * A leaf's events behind `afterSeq` up to the terminal one. Ends when `call` aborts; UNAVAILABLE `shutting_down` where the dispatcher
   * goes down before the end. It reads on only when the last event was taken, so a slow client costs no memory.
   */
  async *follow(leafId: string, afterSeq: bigint, call: AbortSignal): AsyncGenerator<LeafEvent> {
    const signal = AbortSignal.any([call, this.#drain.ended]);
    let ended = false;
    for await (const event of this.#store.follow(leafId, afterSeq, signal)) {
      ended = event.event.case === "stateChanged" && isTerminal(event.event.value.state);
      yield event;
    }
    if (!ended && this.#drain.ended.aborted && !call.aborted) throw shuttingDown();
  }
}
