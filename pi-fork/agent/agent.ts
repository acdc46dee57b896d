import { setTimeout as sleep } from "node:timers/promises";
import {
  type AgentHarness,
  type AgentLane,
  Closed,
  BACKGROUND_CONTEXT as CONTEXT,
  HarnessClosed,
  type OperationResultRecord,
  type Session,
} from "@earendil-works/pi-agent-core";
import type { ImageContent } from "@earendil-works/pi-ai";
import type { HarnessError } from "@serverless-harness/kit/errors";
import { FailureReason, type LeafMessage } from "@serverless-harness/proto/leaf";
import type { Instructions } from "../instructions/kept.ts";
import { atTime } from "./at-time.ts";
import type { Summaries } from "./compaction/summaries.ts";
import type { ExpectedResult } from "./expected-result.ts";
import { type AgentFailure, isStaleEpoch, modelFailure, sandboxFailure, summaryFailure } from "./failure.ts";
import { Inbox, type MessageSource } from "./inbox.ts";
import { lastAnswer, newestAnswer } from "./log/history.ts";
import type { StoryReader } from "./log/story.ts";
import type { Narrator } from "./narrator.ts";
import { beginAnew } from "./operations/begin-anew.ts";
import { readOpenOperation } from "./operations/open-operation.ts";
import {
  entriesOf,
  goOnPrompt,
  isCurrent,
  lineOf,
  type OperationLine,
  type PastOperations,
  readPast,
} from "./operations/operation-line.ts";
import { type RunOutcome, settledOutcome, type Verdict } from "./outcome.ts";
import { type Rest, RestWatch } from "./rest.ts";
import { afterFailedRequest } from "./retry.ts";
import { type AgentLimits, exceeded, exhausted } from "./usage/budget.ts";
import { sandboxLost } from "./workspace/notice.ts";
import type { WorkspaceLog } from "./workspace/workspace-log.ts";

/** What an agent is made of. */
export interface AgentParts {
  readonly harness: AgentHarness<never>;
  readonly lane: AgentLane;
  readonly session: Session;
  readonly narrator: Narrator;
  readonly story: StoryReader;
  readonly summaries: Summaries;
  readonly instructions: Instructions;
  readonly limits: AgentLimits;
  /** The structured result that the operation owes; the narrator feeds it. */
  readonly expected: ExpectedResult | undefined;
  /** Commands that run for longer are not waited for here, in milliseconds. Absent: they are. */
  readonly sleepAfterMs?: number | undefined;
  /** Go with the prompt. */
  readonly images: ImageContent[];
  /** End an exec of an agent that is gone. */
  readonly endExec: (execId: string) => Promise<void>;
  /** What the session's log knows of the workspace. Absent: nothing is noted. */
  readonly workspaceLog?: WorkspaceLog | undefined;
  /** What humans say to the agent while it works. */
  readonly messages: MessageSource;
}

/** So long an agent stays open for the note of a snapshot, in milliseconds: where it is let go of at once, and where it has nothing to do. */
const NOTE_MS = { atOnce: 250, atRest: 2000 };

/** Drives one operation of a session: from its prompt, or from where another agent left it, to its end or to a wait. */
export class Agent {
  readonly #parts: AgentParts;
  readonly #poke = new AbortController();
  #operationId: string | undefined;
  /** Why the operation is being ended before its time. */
  #verdict: Verdict | undefined;
  /** It is being ended, for the verdict or because it is done. */
  #ended = false;
  #lost: HarnessError | undefined;
  readonly #inbox: Inbox;
  readonly #restWatch: RestWatch;
  #rest: Rest | undefined;

  constructor(parts: AgentParts) {
    this.#parts = parts;
    const { harness, narrator, limits, expected, sleepAfterMs } = parts;
    this.#inbox = new Inbox(parts.lane, parts.session, parts.messages);
    this.#restWatch = new RestWatch(
      () => narrator.running,
      sleepAfterMs,
      (rest) => void this.#fallAsleep(rest).catch(() => undefined),
    );
    harness.hooks.on("before_request", ({ model, attempt, step }) => {
      this.#inbox.goOn();
      const failure = exhausted(narrator.usage, limits);
      // Calls that came together with the one that handed the result in would have the model asked again.
      if (expected?.value !== undefined) this.#end();
      else if (failure !== undefined) this.#stop({ kind: "failed", failure });
      else if (step === "assistant" || step === "compaction") narrator.request(`${model.provider}/${model.id}`, attempt);
      return undefined;
    });
    harness.hooks.on("before_tool", () => {
      this.#stopWhereExceeded();
      return undefined;
    });
    harness.hooks.on("before_run_end", async () => {
      if (this.#stopWhereExceeded()) return undefined;
      // Where the store can't be asked, what it has stays there.
      if (this.#listens) await this.#inbox.lastCall().catch(() => undefined);
      const followUp = expected?.followUp();
      return followUp === undefined ? undefined : { followUp };
    });
  }

  /**
   * Run an operation: a new one begins with `prompt`, an open one goes on, one that is over tells its outcome again. An operation of
   * another id that somebody left open is ended first. One that goes on from others has limits of its own, and what those used is told with
   * what it uses. Throws what is a defect, after which the agent can only be closed.
   */
  async run(operation: string | OperationLine, prompt: string): Promise<RunOutcome> {
    const disarm = atTime(this.#parts.limits.deadlineMs, () => this.#stop(this.#deadlineVerdict()));
    try {
      const outcome = await this.#admit(typeof operation === "string" ? lineOf(operation) : operation, prompt);
      return outcome ?? (await this.#drive());
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
    this.#stop({ kind: "cancelled" });
  }

  /** End the operation because a human said so at a gate: {@link run} returns `aborted`. */
  abort(): void {
    this.#stop({ kind: "aborted" });
  }

  /** Tool calls begin, end and are held: once all that is left is waiting, the agent closes and {@link run} returns `waiting`. */
  get rest(): RestWatch {
    return this.#restWatch;
  }

  /** End the operation that {@link run} handed back, since nobody will run it again. */
  async abandon(): Promise<void> {
    if (this.#operationId !== undefined) await this.#endOperation(this.#operationId);
  }

  /** Let go of the operation, which stays open: {@link run} returns `suspended`, and what runs in the sandbox goes on. Idempotent. */
  async close(): Promise<void> {
    this.#restWatch.stop();
    this.#poke.abort();
    await this.#parts.harness.close(CONTEXT);
  }

  /** As {@link close}, once the log notes that a snapshot is taken, where one is due. */
  async letGo(): Promise<void> {
    await this.#noteInTime(NOTE_MS.atOnce);
    await this.close();
  }

  /** The id of the snapshot that is to be taken of the workspace now; `undefined` where nothing can have changed, or nothing can be noted. */
  async noteSnapshot(): Promise<string | undefined> {
    return this.#parts.workspaceLog?.note().catch(() => undefined);
  }

  /** The sandbox can't be used any more: let go, so that nothing is made of the calls that failed for it. */
  lose(error: HarnessError): void {
    this.#lost ??= error;
    void this.close().catch(() => undefined);
  }

  /** One that is being ended, or has handed its result in, is not to be talked to any more. */
  get #listens(): boolean {
    return !this.#ended && this.#parts.expected?.value === undefined;
  }

  async #fallAsleep(rest: Rest): Promise<void> {
    await this.#noteInTime(NOTE_MS.atRest);
    if (this.#verdict !== undefined) return;
    this.#rest = rest;
    await this.close();
  }

  async #noteInTime(withinMs: number): Promise<void> {
    await Promise.race([this.noteSnapshot(), sleep(withinMs, undefined, { ref: false })]);
  }

  async #admit(line: OperationLine, prompt: string): Promise<RunOutcome | undefined> {
    const { lane, narrator } = this.#parts;
    const past = await this.#inherit(line);
    const { current } = await lane.inspectExecution(CONTEXT);
    if (current !== null && isCurrent(line, current.id)) return this.#takeUp(current.id);
    if (current !== null) await narrator.silently(() => this.#endOperation(current.id));
    const record = await lane.getResult(line.id, CONTEXT);
    if (record !== undefined) return this.#retell(record);
    return this.#verdict ?? this.#begin(line, past, prompt);
  }

  /** Count in what the operations used that this one comes after. */
  async #inherit(line: OperationLine): Promise<PastOperations> {
    const { lane, narrator } = this.#parts;
    const past = await readPast(lane, line);
    for (const record of past.former) narrator.inherit(await entriesOf(lane, record), false);
    for (const record of past.earlier) narrator.inherit(await entriesOf(lane, record), true);
    return past;
  }

  async #begin(line: OperationLine, past: PastOperations, prompt: string): Promise<RunOutcome | undefined> {
    const { lane, images, instructions, narrator, workspaceLog } = this.#parts;
    const from = past.earlier.at(-1);
    if (from === undefined) await narrator.silently(() => beginAnew(lane, workspaceLog, line, past));
    if (past.former.length > 0) instructions.changed();
    await instructions.begin(line.id);
    const { lastOperationId } = await lane.inspectExecution(CONTEXT);
    const goesOn = from !== undefined;
    this.#operationId = line.id;
    const accepted = await lane.accept(
      {
        kind: "prompt",
        operationId: line.id,
        prompt: goesOn ? goOnPrompt(prompt, lastOperationId === from.operationId) : prompt,
        ...(goesOn ? {} : { images }),
      },
      CONTEXT,
    );
    if (!accepted.ok) throw accepted.error;
    await this.#requestAbort();
    return undefined;
  }

  async #takeUp(operationId: string): Promise<undefined> {
    const { session, narrator, story, workspaceLog, instructions } = this.#parts;
    this.#operationId = operationId;
    await instructions.takeUp(operationId);
    const open = await readOpenOperation(session, operationId);
    const told = await story.read(operationId, open.fromTipId);
    narrator.resume(told, open.pending);
    await workspaceLog?.resume(told);
    if (workspaceLog?.broke(operationId)) this.#stop({ kind: "failed", failure: sandboxLost() });
    this.#stopWhereExceeded();
    if (this.#verdict === undefined) return;
    await this.#endExecs(open.pending);
    await this.#requestAbort();
  }

  /** An open operation blocks its session: Pi accepts no other. */
  async #endOperation(operationId: string): Promise<void> {
    const { lane, session } = this.#parts;
    await this.#endExecs((await readOpenOperation(session, operationId)).pending);
    await lane.requestAbort(operationId, CONTEXT);
    const driven = await lane.drive({ operationId }, CONTEXT);
    if (!driven.ok) throw driven.error;
  }

  async #drive(): Promise<RunOutcome> {
    const operationId = this.#operationId;
    if (operationId === undefined) throw new Error("there is no operation to drive");
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
    if (requests === 0) return this.#sleepUntil(notBeforeMs);
    const failure = await this.#lastFailure();
    const step = afterFailedRequest({ failure, notBeforeMs, requests, interrupted });
    if (step.kind === "give_up") this.#stop({ kind: "failed", failure });
    // An abort has been asked for: driving on settles it.
    if (this.#verdict !== undefined) return undefined;
    if (step.kind === "hand_back")
      return { kind: "retry", failure, ...(step.notBeforeMs === undefined ? {} : { notBeforeMs: step.notBeforeMs }) };
    if (step.kind === "wait") await this.#sleepUntil(step.untilMs);
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

  async #sleepUntil(untilMs: number): Promise<undefined> {
    const wait = Math.max(0, untilMs - Date.now());
    await sleep(wait, undefined, { signal: this.#poke.signal }).catch(() => undefined);
  }

  async #retell(record: OperationResultRecord): Promise<RunOutcome> {
    const { narrator, story, workspaceLog } = this.#parts;
    const told = await story.read(record.operationId, record.fromTipId, record.tipId);
    narrator.resume(told, new Set());
    await workspaceLog?.resume(told);
    return this.#settled(record);
  }

  async #settled(record: OperationResultRecord): Promise<RunOutcome> {
    if (record.status !== "completed") await this.#inbox.clear();
    const { expected, lane, limits, narrator, summaries, workspaceLog } = this.#parts;
    const { fromTipId, tipId } = record;
    const answer = tipId === null ? undefined : await newestAnswer(lane, { start: tipId, stopAtId: fromTipId });
    if (workspaceLog?.broke(record.operationId)) this.#verdict ??= { kind: "failed", failure: sandboxLost() };
    const spent = (expected?.value === undefined ? exhausted : exceeded)(narrator.usage, limits);
    const verdict = this.#verdict ?? (spent === undefined ? undefined : ({ kind: "failed", failure: spent } as const));
    return settledOutcome({ record, answer, verdict, expected, failedSummary: summaries.failed });
  }

  #stop(verdict: Verdict): void {
    if (this.#verdict !== undefined) return;
    this.#verdict = verdict;
    this.#end();
  }

  #stopWhereExceeded(): boolean {
    const failure = exceeded(this.#parts.narrator.usage, this.#parts.limits);
    if (failure !== undefined) this.#stop({ kind: "failed", failure });
    return failure !== undefined;
  }

  #end(): void {
    this.#ended = true;
    this.#poke.abort();
    void this.#requestAbort().catch(() => undefined);
  }

  /** Where the operation is to be ended, have Pi note it in the log. Before anything is awaited, nothing new can begin. */
  async #requestAbort(): Promise<void> {
    if (!this.#ended || this.#operationId === undefined) return;
    await this.#parts.lane.requestAbort(this.#operationId, CONTEXT);
  }

  async #endExecs(ids: Iterable<string>): Promise<void> {
    await Promise.all([...ids].map((id) => this.#parts.endExec(id)));
  }

  #deadlineVerdict(): Verdict {
    const message = "the deadline passed before the agent was done";
    return { kind: "failed", failure: { reason: FailureReason.DEADLINE_EXCEEDED, retryable: false, message } };
  }

  /** What an error of the drive means, where it is no defect. */
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
