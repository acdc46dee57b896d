import { Code } from "@connectrpc/connect";
import { HarnessError } from "@serverless-harness/kit/errors";
import {
  DecisionKindSchema,
  type Gate,
  type Leaf,
  type LeafEvent,
  LeafKindSchema,
  type LeafMessage,
  type LeafSpec,
  type Tombstone,
} from "@serverless-harness/proto/leaf";
import { isTerminal, type LeafQuery, type LeafStore, type NewDecision, type NewMessage } from "@serverless-harness/session";
import type { Audit } from "./audit/audit.ts";
import { FOREIGN } from "./audit/denials.ts";
import { actorOf, type Caller, owns, requireScope, type Scope, tenantFor } from "./callers/caller.ts";
import { type Drain, shuttingDown } from "./drain.ts";
import { validateEnvelope } from "./envelope.ts";
import { requireSource } from "./fork.ts";
import type { Limits } from "./limits/limits.ts";
import { openQuestions } from "./questions.ts";
import { readDecision, readInputs } from "./volume/leaf-files.ts";
import type { Volume } from "./volume/volume.ts";
import type { Waker } from "./waker/waker.ts";
import type { Webhooks } from "./webhooks/webhooks.ts";

/** What {@link Leaves} stands on. */
export interface LeavesOptions {
  readonly store: LeafStore;
  readonly waker: Waker;
  readonly drain: Drain;
  readonly webhooks: Webhooks;
  /** Where leaves are read from and written to. Absent: nowhere. */
  readonly volume: Volume | undefined;
  readonly audit: Audit;
  readonly limits: Limits;
}

/**
 * Everything that a client can do with leaves, whatever protocol it speaks. Each method looks at what the caller's token is for; another tenant's leaf is
 * NOT_FOUND, as if it were not there.
 */
export class Leaves {
  readonly #store: LeafStore;
  readonly #waker: Waker;
  readonly #drain: Drain;
  readonly #webhooks: Webhooks;
  readonly #volume: Volume | undefined;
  readonly #audit: Audit;
  readonly #limits: Limits;

  constructor({ store, waker, drain, webhooks, volume, audit, limits }: LeavesOptions) {
    this.#audit = audit;
    this.#limits = limits;
    this.#store = store;
    this.#waker = waker;
    this.#drain = drain;
    this.#webhooks = webhooks;
    this.#volume = volume;
  }

  /**
   * Validate, write and wake. The leaf is durable when it returns; `created` is false where the idempotency key was known. `unusable`: why it can't be
   * worked on, for a caller who shall learn of it by the leaf's end.
   */
  async submit(
    caller: Caller,
    spec: LeafSpec | undefined,
    idempotencyKey: string,
    unusable = "",
  ): Promise<{ leaf: Leaf; created: boolean }> {
    requireScope(caller, "leaves:submit");
    const valid = await validateEnvelope(spec, idempotencyKey, (tenant) => tenantFor(caller, "spec.tenant", tenant), this.#volume);
    const envelope = { ...valid, spec: { ...(await this.#withInputs(valid.spec)), unusable } };
    await requireSource(this.#store, envelope.spec);
    const { tenant, kind, sessionId } = envelope.spec;
    const charge = await this.#limits.chargeFor(caller, tenant);
    const submitted = await this.#audit.act(
      caller,
      { action: "leaf.submit", tenant, kind: LeafKindSchema.value[kind]?.localName, session_id: sessionId },
      () => this.#store.submit({ ...envelope, notify: this.#webhooks.wanted(envelope.spec), charge }),
      ({ leaf, created }) => ({ leaf_id: leaf.leafId, created }),
    );
    if (submitted.created) this.#waker.wake("submit");
    return submitted;
  }

  /** The spec with what its file of inputs holds now. */
  async #withInputs(spec: LeafSpec): Promise<LeafSpec> {
    const path = spec.files?.inputsRef ?? "";
    return path === "" || this.#volume === undefined ? spec : { ...spec, input: await readInputs(this.#volume.of(spec.tenant), path) };
  }

  /** A leaf's record. NOT_FOUND where the id is unknown, or its record is gone. */
  async get(caller: Caller, leafId: string): Promise<Leaf> {
    requireScope(caller, "leaves:read");
    return await this.record(caller, leafId);
  }

  /** {@link get} for a caller whose own request is about the leaf, whatever else its token is for. */
  async record(caller: Caller, leafId: string): Promise<Leaf> {
    const leaf = await this.#store.get(leafId);
    if (leaf === undefined) throw notFound();
    if (!owns(caller, tenantOf(leaf))) throw notFound(FOREIGN);
    return leaf;
  }

  /** A leaf's record, or the tombstone of one that was kept for as long as leaves are. NOT_FOUND where the id is unknown. */
  async find(caller: Caller, leafId: string): Promise<{ leaf: Leaf } | { tombstone: Tombstone }> {
    requireScope(caller, "leaves:read");
    const leaf = await this.#store.get(leafId);
    if (leaf !== undefined && owns(caller, tenantOf(leaf))) return { leaf };
    const tombstone = leaf === undefined ? await this.#store.tombstone(leafId) : undefined;
    if (tombstone !== undefined && owns(caller, tombstone.tenant)) return { tombstone };
    throw notFound(leaf === undefined && tombstone === undefined ? undefined : FOREIGN);
  }

  /** A page of leaves. */
  async list(caller: Caller, query: LeafQuery): Promise<Awaited<ReturnType<LeafStore["list"]>>> {
    requireScope(caller, "leaves:read");
    const everybody = caller.tenant === undefined && query.tenant === undefined && query.sessionId === undefined;
    return await this.#store.list(everybody ? query : { ...query, tenant: tenantFor(caller, "tenant", query.tenant ?? "") });
  }

  /** Ask for a leaf's end, and have somebody there who ends what it left running. `requestedBy`: as the request says it. */
  async cancel(caller: Caller, leafId: string, requestedBy: string): Promise<Leaf> {
    await this.#requireLeaf(caller, "leaves:cancel", leafId);
    const leaf = await this.#audit.act(caller, { action: "leaf.cancel", leaf_id: leafId }, () =>
      this.#store.cancel(leafId, actorOf(caller, requestedBy)),
    );
    if (!isTerminal(leaf.state)) this.#waker.wake("cancel");
    return leaf;
  }

  /** Answer a gate, and wake a brain for the leaf that waited for it. */
  async decide(caller: Caller, leafId: string, gateId: string, decision: NewDecision): Promise<Gate> {
    await this.#requireLeaf(caller, "gates:decide", leafId);
    const decidedBy = actorOf(caller, decision.decidedBy);
    const gate = await this.#audit.act(
      caller,
      {
        action: "gate.decide",
        leaf_id: leafId,
        gate_id: gateId,
        decision: DecisionKindSchema.value[decision.kind]?.localName,
        decided_by: decidedBy,
      },
      () => this.#store.decide(leafId, gateId, { ...decision, decidedBy }),
    );
    this.#waker.wake("decision");
    return gate;
  }

  /** As {@link decide}, with what a file on the volume says of one of the leaf's questions. */
  async decideByFile(caller: Caller, leafId: string, path: string, decidedBy: string): Promise<Gate> {
    requireScope(caller, "gates:decide");
    const leaf = await this.record(caller, leafId);
    const { questionNumber, ...decision } = await readDecision(this.#volume?.of(tenantOf(leaf)), path);
    const question = (await openQuestions(this.#store, leaf)).find(({ number }) => number === questionNumber);
    if (question === undefined) throw questionNotFound();
    return await this.decide(caller, leafId, question.gate.gateId, { ...decision, decidedBy });
  }

  /** Say something to a leaf. It wakes nobody: who runs the leaf hears of it, who claims it next finds it. */
  async send(caller: Caller, leafId: string, message: NewMessage): Promise<LeafMessage> {
    await this.#requireLeaf(caller, "leaves:submit", leafId);
    const sentBy = actorOf(caller, message.sentBy);
    return await this.#audit.act(
      caller,
      { action: "leaf.send", leaf_id: leafId, sent_by: sentBy },
      () => this.#store.send(leafId, { ...message, sentBy }),
      ({ messageId }) => ({ message_id: messageId }),
    );
  }

  /** What a leaf sleeps for has happened. A hint: nothing happens where nothing waits for that key, which is all that a caller needs. */
  async wake(leafId: string, wakeKey: string): Promise<void> {
    if (await this.#store.wake(leafId, wakeKey)) this.#waker.wake("wake");
  }

  /** Queue a failed leaf again. */
  async redrive(caller: Caller, leafId: string, fromStart: boolean): Promise<Leaf> {
    await this.#requireLeaf(caller, "leaves:submit", leafId);
    const leaf = await this.#audit.act(caller, { action: "leaf.redrive", leaf_id: leafId, from_start: fromStart }, () =>
      this.#store.redrive(leafId, fromStart),
    );
    this.#waker.wake("redrive");
    return leaf;
  }

  /**
   * A leaf's events behind `afterSeq` up to the terminal one, of a leaf that the caller is known to own. Ends when `call` aborts; UNAVAILABLE `shutting_down` where the dispatcher
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

  /**
   * PERMISSION_DENIED unless the token is for this, NOT_FOUND unless the leaf is the caller's own. An operator owns every leaf, so nothing is read for
   * one: the store itself tells of an id that is unknown.
   */
  async #requireLeaf(caller: Caller, scope: Scope, leafId: string): Promise<void> {
    requireScope(caller, scope);
    if (caller.tenant !== undefined) await this.record(caller, leafId);
  }
}

function tenantOf(leaf: Leaf): string {
  return leaf.spec?.tenant ?? "";
}

function questionNotFound(): HarnessError {
  const text = "the leaf has no open question of this number: look at its gate file, or at its open_gates";
  return new HarnessError(Code.FailedPrecondition, "gate_not_found", text);
}

function notFound(cause?: Error): HarnessError {
  return new HarnessError(Code.NotFound, "leaf_not_found", "there is no leaf of this id: check it", { cause });
}
