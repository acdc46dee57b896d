import { Code } from "@connectrpc/connect";
import { HarnessError } from "@serverless-harness/kit/errors";
import type { Gate, Leaf, LeafEvent, LeafMessage, LeafSpec, Tombstone } from "@serverless-harness/proto/leaf";
import { isTerminal, type LeafStore, type NewDecision, type NewMessage } from "@serverless-harness/session";
import { type Drain, shuttingDown } from "./drain.ts";
import { validateEnvelope } from "./envelope.ts";
import { requireSource } from "./fork.ts";
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

  /**
   * Validate, write and wake. The leaf is durable when it returns; `created` is false where the idempotency key was known. `unusable`: why it can't be
   * worked on, for a caller who shall learn of it by the leaf's end.
   */
  async submit(spec: LeafSpec | undefined, idempotencyKey: string, unusable = ""): Promise<{ leaf: Leaf; created: boolean }> {
    const valid = await validateEnvelope(spec, idempotencyKey);
    const envelope = { ...valid, spec: { ...valid.spec, unusable } };
    await requireSource(this.#store, envelope.spec);
    const submitted = await this.#store.submit(envelope);
    if (submitted.created) this.#waker.wake("submit");
    return submitted;
  }

  /** A leaf's record. NOT_FOUND where the id is unknown, or its record is gone. */
  async get(leafId: string): Promise<Leaf> {
    const leaf = await this.#store.get(leafId);
    if (leaf !== undefined) return leaf;
    throw notFound();
  }

  /** A leaf's record, or the tombstone of one that was kept for as long as leaves are. NOT_FOUND where the id is unknown. */
  async find(leafId: string): Promise<{ leaf: Leaf } | { tombstone: Tombstone }> {
    const leaf = await this.#store.get(leafId);
    if (leaf !== undefined) return { leaf };
    const tombstone = await this.#store.tombstone(leafId);
    if (tombstone !== undefined) return { tombstone };
    throw notFound();
  }

  /** Ask for a leaf's end, and have somebody there who ends what it left running. */
  async cancel(leafId: string, requestedBy: string): Promise<Leaf> {
    const leaf = await this.#store.cancel(leafId, requestedBy);
    if (!isTerminal(leaf.state)) this.#waker.wake("cancel");
    return leaf;
  }

  /** Answer a gate, and wake a brain for the leaf that waited for it. */
  async decide(leafId: string, gateId: string, decision: NewDecision): Promise<Gate> {
    const gate = await this.#store.decide(leafId, gateId, decision);
    this.#waker.wake("decision");
    return gate;
  }

  /** Say something to a leaf. It wakes nobody: who runs the leaf hears of it, who claims it next finds it. */
  send(leafId: string, message: NewMessage): Promise<LeafMessage> {
    return this.#store.send(leafId, message);
  }

  /** What a leaf sleeps for has happened. A hint: nothing happens where nothing waits for that key. */
  async wake(leafId: string, wakeKey: string): Promise<void> {
    if (await this.#store.wake(leafId, wakeKey)) this.#waker.wake("wake");
  }

  /** Queue a failed leaf again. */
  async redrive(leafId: string, fromStart: boolean): Promise<Leaf> {
    const leaf = await this.#store.redrive(leafId, fromStart);
    this.#waker.wake("redrive");
    return leaf;
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

function notFound(): HarnessError {
  return new HarnessError(Code.NotFound, "leaf_not_found", "there is no leaf of this id: check it");
}
