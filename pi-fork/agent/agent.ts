import type { EventEmitter } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import {
  type AgentHarness,
  Closed,
  BACKGROUND_CONTEXT as CONTEXT,
  HarnessClosed,
  type OperationResultRecord,
} from "@earendil-works/pi-agent-core";
import type { HarnessError } from "@serverless-harness/kit/errors";
import { FailureReason, type LeafMessage } from "@serverless-harness/proto/leaf";
import type { Summaries } from "./compaction/summaries.ts";
import { Inbox, type MessageSource } from "./inbox.ts";
import { type AgentFailure, isStaleEpoch, modelFailure, sandboxFailure, summaryFailure } from "./log/failure.ts";
import { lastAnswer } from "./log/history.ts";
import type { ExpectedResult } from "./narration/expected-result.ts";
import { lastWords } from "./narration/unfinished.ts";
import { Admission, type OperationParts, stopWhereExceeded } from "./operations/admission.ts";
import { DrivenOperation, type Verdict } from "./operations/driven.ts";
import { lineOf, type OperationLine } from "./operations/operation-line.ts";
import { type RunOutcome, settledOutcome } from "./outcome.ts";
import { type Rest, RestWatch } from "./rest.ts";
import { afterFailedRequest } from "./retry.ts";
import { exceeded, exhausted } from "./usage/budget.ts";
import { sandboxLost } from "./workspace/notices.ts";

/** What an agent's tools and its sandbox report to it, whether or not it is there yet. */
export type AgentSignals = EventEmitter<{
  /** The sandbox can't be used any more. */
  lost: [error: HarnessError];
  /** The sandbox runs a command, or no longer does: see {@link RestWatch.ran}. */
  command: [execId: string, ranForMs: number | undefined, silentMs: number | undefined];
  /** A tool call waits at its gate. */
  held: [gateId: string];
  /** A tool call began or ended. */
  calls: [];
  /** A human ended the leaf at a gate. */
  aborted: [];
}>;

/** What an agent is made of. */
export interface AgentParts extends OperationParts {
  readonly harness: AgentHarness<never>;
  readonly summaries: Summaries;
  readonly signals: AgentSignals;
  /** The structured result that the operation owes; the narrator feeds it. */
  readonly expected: ExpectedResult | undefined;
  /** How long a command runs before the agent stops waiting for it, in milliseconds. Absent: the agent waits for as long as it runs. */
  readonly sleepAfterMs?: number | undefined;
  /** What humans say to the agent while it works. */
  readonly messages: MessageSource;
}

/** How long an agent stays open for the note of a snapshot, in milliseconds: when it is let go of at once, and when it has nothing to do. */
const NOTE_MS = { atOnce: 250, atRest: 2000 };

/** Drives one operation of a session: from its prompt, or from where another agent left it, to its end or to a wait. */
export class Agent {
  readonly #parts: AgentParts;
  readonly #driven: DrivenOperation;
  readonly #admission: Admission;
  #lost: HarnessError | undefined;
  readonly #inbox: Inbox;
  readonly #restWatch: RestWatch;
  #rest: Rest | undefined;

  constructor(parts: AgentParts) {
    this.#parts = parts;
    this.#driven = new DrivenOperation(parts.lane);
    this.#admission = new Admission(parts, this.#driven);
    const { harness, narrator, limits, expected, unfinished, sleepAfterMs, signals } = parts;
    this.#inbox = new Inbox(parts.lane, parts.session, parts.messages);
    this.#restWatch = new RestWatch(
      () => narrator.running,
      sleepAfterMs,
      (rest) => void this.#fallAsleep(rest).catch(() => undefined),
    );
    signals.on("lost", (error) => this.#lose(error));
    signals.on("command", (execId, ranForMs, silentMs) => this.#restWatch.ran(execId, ranForMs, silentMs));
    signals.on("held", (gateId) => this.#restWatch.held(gateId));
    signals.on("calls", () => this.#restWatch.changed());
    signals.on("aborted", () => this.#driven.stop({ kind: "aborted" }));
    harness.hooks.on("before_request", ({ model, attempt, step }) => {
      this.#inbox.goOn();
      const failure = exhausted(narrator.usage, limits) ?? unfinished.failure();
      // Calls that came together with the one that handed the result in would have the model asked again.
      if (expected?.value !== undefined) this.#driven.end();
      else if (failure !== undefined) this.#driven.stop({ kind: "failed", failure });
      else if (step === "assistant" || step === "compaction") narrator.request(`${model.provider}/${model.id}`, attempt);
      return undefined;
    });
    harness.hooks.on("before_tool", () => {
      stopWhereExceeded(parts, this.#driven);
      return undefined;
    });
    harness.hooks.on("before_run_end", async () => {
      if (stopWhereExceeded(parts, this.#driven)) return undefined;
      // If the store can't be asked, what it has stays there.
      if (this.#listens) await this.#inbox.lastCall().catch(() => undefined);
      const followUp = unfinished.followUp() ?? expected?.followUp();
      return followUp === undefined ? undefined : { followUp };
    });
  }

  /**
   * Run an operation: a new one begins with `prompt`, an open one goes on, one that is over tells its outcome again. An operation of
   * another id that somebody left open is ended first. One that goes on from others has limits of its own, and what those used is told with
   * what it uses. Throws what is a defect, after which the agent can only be closed.
   */
  async run(operation: string | OperationLine, prompt: string): Promise<RunOutcome> {
    const disarm = atTime(this.#parts.limits.deadlineMs, () => this.#driven.stop(this.#deadlineVerdict()));
    try {
      const over = await this.#admission.admit(typeof operation === "string" ? lineOf(operation) : operation, prompt);
      return over === undefined ? await this.#drive() : await this.#settled(over);
    } catch (error) {
      const outcome = this.#interruption(error);
      if (outcome === undefined) throw error;
      return outcome;
    } finally {
      disarm();
      await this.#inbox.close();
    }
  }

  /** Say something to the agent. It is in the log, or was before, when this resolves; what comes when the operation is done is passed over. */
  async deliver(messages: readonly LeafMessage[]): Promise<void> {
    if (this.#listens) await this.#inbox.deliver(messages);
  }

  /** End the operation: its model call is cut, its command killed, and {@link run} returns `cancelled`. */
  cancel(): void {
    this.#driven.stop({ kind: "cancelled" });
  }

  /** End the operation that {@link run} handed back, since nobody will run it again. */
  async abandon(): Promise<void> {
    if (this.#driven.id !== undefined) await this.#admission.end(this.#driven.id);
  }

  /** Let go of the operation, which stays open: {@link run} returns `suspended`, and what runs in the sandbox goes on. Idempotent. */
  async close(): Promise<void> {
    this.#restWatch.stop();
    this.#driven.wakeUp();
    await this.#parts.harness.close(CONTEXT);
  }

  /** As {@link close}, once the log notes that a snapshot is taken, if one is due. */
  async letGo(): Promise<void> {
    await this.#noteInTime(NOTE_MS.atOnce);
    await this.close();
  }

  /** The id of the snapshot that is to be taken of the workspace now; `undefined` if nothing can have changed, or nothing can be noted. */
  async noteSnapshot(): Promise<string | undefined> {
    return this.#parts.workspaceLog?.note().catch(() => undefined);
  }

  /** The sandbox can't be used any more: let go, so that nothing is made of the calls that failed for it. */
  #lose(error: HarnessError): void {
    this.#lost ??= error;
    void this.close().catch(() => undefined);
  }

  /** One that is being ended, or has handed its result in, is not to be talked to any more. */
  get #listens(): boolean {
    return !this.#driven.ending && this.#parts.expected?.value === undefined;
  }

  async #fallAsleep(rest: Rest): Promise<void> {
    await this.#noteInTime(NOTE_MS.atRest);
    if (this.#driven.verdict !== undefined) return;
    this.#rest = rest;
    await this.close();
  }

  async #noteInTime(withinMs: number): Promise<void> {
    await Promise.race([this.noteSnapshot(), sleep(withinMs, undefined, { ref: false })]);
  }

  async #drive(): Promise<RunOutcome> {
    const { id: operationId, verdict } = this.#driven;
    if (operationId === undefined) {
      if (verdict === undefined) throw new Error("there is no operation to drive");
      return verdict;
    }
    await this.#inbox.begin(operationId);
    for (;;) {
      const driven = await this.#parts.lane.drive({ operationId }, CONTEXT);
      if (!driven.ok) throw driven.error;
      if (driven.value.kind === "settled") return this.#settled(driven.value.outcome);
      if (driven.value.reason !== "retry") throw new Error(`Pi waits for ${driven.value.reason}, which nobody asked for`);
      const outcome = await this.#wait(driven.value.notBefore);
      if (outcome !== undefined) return outcome;
    }
  }

  async #wait(notBeforeMs: number): Promise<RunOutcome | undefined> {
    const { narrator } = this.#parts;
    const { requests, interrupted } = narrator;
    // Another agent's last request says nothing about the model as it is now.
    if (requests === 0) return this.#driven.sleepUntil(notBeforeMs);
    const failure = await this.#lastFailure();
    const step = afterFailedRequest({ failure, notBeforeMs, requests, interrupted });
    if (step.kind === "give_up") this.#driven.stop({ kind: "failed", failure });
    // An abort has been asked for: driving on settles it.
    if (this.#driven.verdict !== undefined) return undefined;
    if (step.kind === "hand_back")
      return { kind: "retry", failure, ...(step.notBeforeMs === undefined ? {} : { notBeforeMs: step.notBeforeMs }) };
    if (step.kind === "wait") await this.#driven.sleepUntil(step.untilMs);
    return undefined;
  }

  async #lastFailure(): Promise<AgentFailure> {
    const { failed } = this.#parts.summaries;
    if (failed !== undefined) return summaryFailure(failed);
    const newest = await this.#parts.lane.findEntries({ type: "message", limit: 1 }, CONTEXT);
    const answer = lastAnswer(newest);
    if (answer === undefined) throw new Error("Pi waits to ask the model again, but its log has no answer that failed");
    return modelFailure(answer);
  }

  async #settled(record: OperationResultRecord): Promise<RunOutcome> {
    if (record.status !== "completed") await this.#inbox.clear();
    const { expected, lane, limits, narrator, summaries, unfinished, workspaceLog } = this.#parts;
    const { fromTipId, tipId } = record;
    const { answer, text } = tipId === null ? { text: "" } : await lastWords(lane, { start: tipId, stopAtId: fromTipId });
    const broken = workspaceLog?.broke(record.operationId) === true ? sandboxLost() : undefined;
    const spent = (expected?.value === undefined ? exhausted : exceeded)(narrator.usage, limits);
    const failure = broken ?? spent ?? unfinished.failure();
    const verdict = this.#driven.verdict ?? (failure === undefined ? undefined : ({ kind: "failed", failure } as const));
    return settledOutcome({ record, answer, text, verdict, expected, failedSummary: summaries.failed });
  }

  #deadlineVerdict(): Verdict {
    const message = "the deadline passed before the agent was done";
    return { kind: "failed", failure: { reason: FailureReason.DEADLINE_EXCEEDED, retryable: false, message } };
  }

  /** What an error of the drive means, if it is no defect. */
  #interruption(error: unknown): RunOutcome | undefined {
    if (isStaleEpoch(this.#lost) || isStaleEpoch(error)) return { kind: "superseded" };
    if (this.#lost !== undefined) {
      const failure = sandboxFailure(this.#lost);
      return failure.retryable ? { kind: "retry", failure } : { kind: "failed", failure };
    }
    if (!(error instanceof HarnessClosed || error instanceof Closed)) return undefined;
    return this.#rest === undefined ? { kind: "suspended" } : { kind: "waiting", ...this.#rest };
  }
}

/** Longest time that a timer can hold, in milliseconds. */
const MAX_TIMER_MS = 2_147_483_647;

/**
 * Act at a time (milliseconds since the Unix epoch), at once if it has passed, never if there is none. Returns what keeps it from
 * acting.
 */
function atTime(timeMs: number | undefined, act: () => void): () => void {
  let timer: NodeJS.Timeout | undefined;
  const look = (): void => {
    const left = (timeMs ?? Number.POSITIVE_INFINITY) - Date.now();
    if (left <= 0) act();
    else if (left < Number.POSITIVE_INFINITY) timer = setTimeout(look, Math.min(left, MAX_TIMER_MS));
  };
  look();
  return () => clearTimeout(timer);
}
