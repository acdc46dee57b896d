import type { Logger } from "@serverless-harness/kit/log";
import type { Tracing } from "@serverless-harness/kit/tracing/tracing";
import type { AgentFailure, Rest, RunOutcome } from "@serverless-harness/pi-fork";
import { FailureReason, FailureReasonSchema, LeafKind, LeafState } from "@serverless-harness/proto/leaf";
import { type Claim, deadlineOf, type LeafStore, type Outcome, WAITS_FOR_ROOM } from "@serverless-harness/session";
import { toResult } from "../kinds/result.ts";
import type { Solution } from "../kinds/solution.ts";
import { promptOf } from "../kinds/task.ts";
import type { AgentSeams, OpenAgent } from "./agent-seams.ts";
import { Announcer } from "./announcer.ts";
import { failureOf, isStale, nextAttemptAt, toFailure, waitsForRoom, waitsForSource } from "./failures.ts";
import { askAtGates } from "./gates.ts";
import { Heartbeat } from "./heartbeat.ts";
import { LeafTrace } from "./leaf-trace.ts";
import { Mailbox, messageSource } from "./mailbox.ts";
import { operationsOf } from "./operations.ts";
import { roomPatience, sourcePatience, suspendAtRest } from "./sleep.ts";
import { takeSnapshot } from "./snapshots.ts";

/** What a leaf is run with. */
export interface LeafRunOptions {
  readonly store: LeafStore;
  readonly claim: Claim;
  readonly leaseMs: number;
  readonly open: (claim: Claim, seams: AgentSeams) => Promise<OpenAgent>;
  readonly tracing: Tracing;
  readonly log: Logger;
}

/** How the work on a leaf ended: for good, or for now. */
export type LeafRunEnd = "finished" | "released";

/** Why a leaf is let go of before its time. */
type LetGo = "drain" | "lost" | "broken" | "away";

type Completed = Extract<RunOutcome, { kind: "completed" }> & Partial<Solution>;

/** How an agent's run ended, with what was changed if that was asked for. */
type SolvedOutcome = Completed | Exclude<RunOutcome, { kind: "completed" }>;

/** The same, or why there was no agent to run. */
type WorkOutcome = SolvedOutcome | { readonly kind: "early" } | { readonly kind: "no_room"; readonly why: string };

const STATE_NAMES: Readonly<Record<number, string>> = Object.fromEntries(Object.entries(LeafState).map(([name, state]) => [state, name]));

/** One claimed leaf, from its claim to the moment when this brain has nothing to do with it any more. */
export class LeafRun {
  readonly #options: LeafRunOptions;
  readonly #announcer: Announcer;
  readonly #trace: LeafTrace;
  readonly #mailbox: Mailbox;
  readonly #letGo = Promise.withResolvers<LetGo>();
  #letGoAs: LetGo | undefined;
  #open: OpenAgent | undefined;
  #cancelled: boolean;

  constructor(options: LeafRunOptions) {
    const { store, claim } = options;
    this.#options = options;
    this.#cancelled = claim.leaf.cancelRequested;
    this.#trace = new LeafTrace(options.tracing, claim.leaf);
    this.#mailbox = new Mailbox(claim.leaf.messages, options.log);
    this.#announcer = new Announcer({
      leafId: claim.leaf.leafId,
      append: (events) => store.append(claim, events),
      onError: (error) => {
        options.log.warn({ err: error }, "events could not be written");
        this.#stop(isStale(error) ? "lost" : "broken");
      },
    });
  }

  /** Work on the leaf until it is over or has to wait. Never rejects. */
  async run(): Promise<LeafRunEnd> {
    const { store, claim, leaseMs, log } = this.#options;
    const heartbeat = new Heartbeat({
      leaseMs,
      beat: () => store.heartbeat(claim, leaseMs),
      onCancel: () => this.#cancel(),
      onMessages: (messages) => this.#mailbox.arrived(messages),
      onLost: () => this.#stop("lost"),
      log,
    });
    const over = new AbortController();
    store.listen(claim.leaf.leafId, over.signal, () => void heartbeat.beat());
    const opening = this.#openAgent();
    try {
      const outcome = await this.#work(opening);
      const end = await this.#settle(outcome);
      this.#trace.end(
        outcome.kind,
        "failure" in outcome ? FailureReasonSchema.value[outcome.failure.reason]?.localName.toLowerCase() : undefined,
      );
      return end;
    } catch (error) {
      this.#trace.end("lost", "lost");
      // Nothing is lost: the lease ends, and another brain goes on from the log.
      if (isStale(error)) log.info("the leaf has another owner: let go of it");
      else log.error({ err: error }, "the leaf's end could not be written: its lease will run out");
      return "released";
    } finally {
      heartbeat.stop();
      over.abort();
      const closing = opening.then((open) => open.close()).catch((error: unknown) => log.debug({ err: error }, "closing failed"));
      // An agent that is still being opened, for instance with a sandbox that is away, holds nobody up, nor does one whose sandbox is gone.
      if (this.#open !== undefined && this.#letGoAs !== "away") await closing;
    }
  }

  /** Let go of the leaf at once: it is handed back, and what runs in the sandbox goes on. */
  suspend(): void {
    this.#stop("drain");
  }

  async #openAgent(): Promise<OpenAgent> {
    const { store, claim, leaseMs, open } = this.#options;
    return open(claim, {
      on: (event) => {
        this.#announcer.tell(event);
        this.#trace.tell(event);
      },
      flush: () => this.#flush(),
      events: this.#announcer,
      ask: askAtGates(store, claim),
      messages: messageSource(store, claim, leaseMs),
      onPlaced: (placement) => {
        // Somebody who died may not have come to tell it.
        const isNews =
          placement.isNew || placement.moved !== undefined || placement.left !== undefined || claim.leaf.claims === 1 || claim.takeover;
        if (isNews) this.#announcer.tell({ kind: "placed", placement });
      },
      onAway: () => this.#stop("away"),
    });
  }

  async #work(opening: Promise<OpenAgent>): Promise<WorkOutcome> {
    const { claim, log } = this.#options;
    try {
      const open = await Promise.race([opening, this.#letGo.promise]);
      if (typeof open === "string") return { kind: "suspended" };
      this.#open = open;
      if (this.#letGoAs !== undefined) return { kind: "suspended" };
      if (this.#cancelled) open.agent.cancel();
      this.#mailbox.open(open.agent);
      const outcome = await this.#unlessAway(open.agent.run(operationsOf(claim.leaf), promptOf(claim.leaf.spec)));
      const solved = await this.#withSolution(outcome, open);
      if (this.#letGoAs !== "away") await this.#storeWorkspace(solved.kind, open);
      return solved;
    } catch (error) {
      if (isStale(error)) return { kind: "superseded" };
      if (this.#letGoAs === "away") return { kind: this.#cancelled ? "cancelled" : "suspended" };
      if (waitsForSource(error)) return { kind: this.#cancelled ? "cancelled" : "early" };
      if (waitsForRoom(error)) return this.#cancelled ? { kind: "cancelled" } : { kind: "no_room", why: error.message };
      const failure = this.#failureOf(error);
      if (failure.reason === FailureReason.INTERNAL) log.error({ err: error }, "the attempt failed");
      else log.warn({ reason: failure.reason, why: failure.message }, "the attempt failed");
      if (this.#cancelled) return { kind: "cancelled" };
      return { kind: failure.retryable ? "retry" : "failed", failure };
    }
  }

  /** What the agent asked of a sandbox that is gone is not waited for. */
  async #unlessAway(running: Promise<RunOutcome>): Promise<RunOutcome> {
    const away = this.#letGo.promise.then((as) => (as === "away" ? ({ kind: "suspended" } as const) : running));
    running.catch(() => undefined);
    return Promise.race([running, away]);
  }

  /** A solve is over when its patch was read: nobody else works in the workspace meanwhile. */
  async #withSolution(outcome: RunOutcome, open: OpenAgent): Promise<SolvedOutcome> {
    if (outcome.kind !== "completed" || this.#options.claim.leaf.spec?.kind !== LeafKind.SOLVE) return outcome;
    const solution = await open.solution();
    return "patch" in solution ? { ...outcome, ...solution } : { kind: "failed", failure: solution };
  }

  async #storeWorkspace(outcome: RunOutcome["kind"], open: OpenAgent): Promise<void> {
    const snapshotId = await takeSnapshot(open, outcome, this.#letGo.promise, this.#options.log);
    if (snapshotId !== undefined) this.#announcer.tell({ kind: "snapshot_taken", snapshotId });
  }

  #failureOf(error: unknown): AgentFailure {
    const deadlineMs = deadlineOf(this.#options.claim.leaf);
    if (deadlineMs === undefined || Date.now() < deadlineMs) return failureOf(error);
    const message = `the deadline passed before the agent could work: ${failureOf(error).message}`;
    return { reason: FailureReason.DEADLINE_EXCEEDED, retryable: false, message };
  }

  async #settle(outcome: WorkOutcome): Promise<LeafRunEnd> {
    switch (outcome.kind) {
      case "completed":
        return this.#finish({ state: LeafState.DONE, result: toResult(outcome) });
      case "cancelled":
        return this.#finish({ state: LeafState.CANCELLED });
      case "failed":
        return this.#finish({ state: LeafState.FAILED, failure: toFailure(outcome.failure) });
      case "retry":
        return this.#retry(outcome.failure, outcome.notBeforeMs ?? 0);
      case "aborted":
        return this.#finish({ state: LeafState.ABORTED });
      case "waiting":
        return this.#sleep(outcome);
      case "early":
        // The session that it forks has not begun: looked for again, ever more rarely.
        return this.#lookAgain(sourcePatience(this.#options.claim.leaf.claims), "waits for the session that it forks to begin");
      case "no_room":
        return this.#lookAgain(roomPatience(), `${WAITS_FOR_ROOM}: ${outcome.why}`);
      case "suspended":
        return this.#handBack();
      case "superseded":
        this.#options.log.info("the leaf has another owner: let go of it");
        return "released";
    }
  }

  async #finish(outcome: Outcome): Promise<LeafRunEnd> {
    const { store, claim, log } = this.#options;
    const left = this.#open?.keepRoom(0);
    await store.finish(claim, outcome, await this.#announcer.drain());
    await left;
    log.info({ state: STATE_NAMES[outcome.state] }, "leaf ended");
    return "finished";
  }

  async #retry(failure: AgentFailure, earliestMs: number): Promise<LeafRunEnd> {
    const { store, claim, log } = this.#options;
    const nextMs = nextAttemptAt(claim.leaf, failure, earliestMs, Date.now());
    if (nextMs === undefined) {
      await this.#abandon();
      return this.#finish({ state: LeafState.FAILED, failure: toFailure(failure) });
    }
    await store.retry(claim, toFailure(failure), nextMs, await this.#announcer.drain());
    log.info({ reason: failure.reason, why: failure.message, waitMs: nextMs - Date.now() }, "leaf waits for its next attempt");
    return "released";
  }

  /** Nothing of the leaf happens here until a human has answered or a command has ended: no brain is needed for that. */
  async #sleep(rest: Rest): Promise<LeafRunEnd> {
    const { store, claim, leaseMs, log } = this.#options;
    const notifyEnd: OpenAgent["notifyEnd"] = (execId, body) =>
      this.#open?.notifyEnd(execId, body) ?? Promise.reject(new Error("no agent"));
    const keepRoom = async (ms: number): Promise<void> => this.#open?.keepRoom(ms + leaseMs);
    await suspendAtRest(store, claim, rest, { notifyEnd, keepRoom }, await this.#announcer.drain());
    // A leaf that waits for people alone needs no room.
    if (rest.execIds.length === 0) await this.#open?.keepRoom(0);
    log.info({ gates: rest.gateIds.length, commands: rest.execIds.length }, "leaf sleeps");
    return "released";
  }

  /** It can't be worked on yet. That is no failed attempt. */
  async #lookAgain(waitMs: number, note: string): Promise<LeafRunEnd> {
    const { store, claim, log } = this.#options;
    await store.suspend(claim, { notBeforeMs: Date.now() + waitMs }, note, await this.#announcer.drain());
    log.info({ waitMs }, `leaf ${note}`);
    return "released";
  }

  async #handBack(): Promise<LeafRunEnd> {
    const { store, claim, log } = this.#options;
    if (this.#letGoAs === "lost") return "released";
    if (this.#letGoAs === "broken") return this.#retry(failureOf(undefined), 0);
    await this.#announcer.flush();
    // The agent may still be closing; what it tells from now on its successor tells again.
    await this.#announcer.drain();
    await store.release(claim, this.#letGoAs === "away" ? "its sandbox is gone: it goes on in another one" : "brain drained");
    log.info("leaf handed back");
    return "released";
  }

  /** An operation left open would be ended by the session's next leaf; this is sooner. */
  async #abandon(): Promise<void> {
    await this.#open?.agent.abandon().catch((error: unknown) => {
      if (isStale(error)) throw error;
      this.#options.log.debug({ err: error }, "the operation stays open");
    });
  }

  async #flush(): Promise<void> {
    await this.#announcer.flush();
    // What could not be written is why it is let go of.
    if (this.#letGoAs !== undefined) throw new Error("the leaf is let go of");
  }

  #cancel(): void {
    this.#cancelled = true;
    this.#open?.agent.cancel();
  }

  #stop(as: LetGo): void {
    this.#letGoAs ??= as;
    this.#letGo.resolve(as);
    const agent = this.#open?.agent;
    void (as === "drain" ? agent?.letGo() : agent?.close())?.catch(() => undefined);
  }
}
