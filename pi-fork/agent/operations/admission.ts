import { type AgentLane, BACKGROUND_CONTEXT as CONTEXT, type OperationResultRecord, type Session } from "@earendil-works/pi-agent-core";
import type { ImageContent } from "@earendil-works/pi-ai";
import type { Instructions } from "../../instructions/instructions.ts";
import type { HistoryReader } from "../compaction/operation-history.ts";
import { readOpenOperation } from "../log/lane-log.ts";
import type { Narrator } from "../narration/narrator.ts";
import type { UnfinishedAnswers } from "../narration/unfinished.ts";
import { type AgentLimits, exceeded } from "../usage/budget.ts";
import { sandboxLost } from "../workspace/notices.ts";
import type { WorkspaceLog } from "../workspace/workspace-log.ts";
import type { DrivenOperation } from "./driven.ts";
import { entriesOf, goOnPrompt, isCurrent, type OperationLine, type PastOperations, readPast } from "./operation-line.ts";

/** What an operation is opened with, taken up with, and ended with. */
export interface OperationParts {
  readonly lane: AgentLane;
  readonly session: Session;
  readonly narrator: Narrator;
  readonly history: HistoryReader;
  readonly instructions: Instructions;
  readonly limits: AgentLimits;
  /** Whether the operation's newest answer is its last word; the narrator feeds it. */
  readonly unfinished: UnfinishedAnswers;
  /** Go with the prompt. */
  readonly images: ImageContent[];
  /** End an exec of an agent that is gone. */
  readonly endExec: (execId: string) => Promise<void>;
  /** What the session's log knows of the workspace. Absent: nothing is noted. */
  readonly workspaceLog?: WorkspaceLog | undefined;
}

/** Opens the operation that an agent is to drive: a new one, one that another agent left open, or one that is over. */
export class Admission {
  readonly #parts: OperationParts;
  readonly #driven: DrivenOperation;

  constructor(parts: OperationParts, driven: DrivenOperation) {
    this.#parts = parts;
    this.#driven = driven;
  }

  /** Open it. Returns its record if it is over. If it was stopped before it began, there is none, and nothing to drive. */
  async admit(line: OperationLine, prompt: string): Promise<OperationResultRecord | undefined> {
    const { lane, narrator } = this.#parts;
    const past = await this.#inherit(line);
    const { current } = await lane.inspectExecution(CONTEXT);
    if (current !== null && isCurrent(line, current.id)) {
      await this.#takeUp(current.id);
      return undefined;
    }
    if (current !== null) await narrator.silently(() => this.end(current.id));
    const record = await lane.getResult(line.id, CONTEXT);
    if (record !== undefined) await this.#retell(record);
    else if (this.#driven.verdict === undefined) await this.#begin(line, past, prompt);
    return record;
  }

  /** End an operation that was left open: it blocks its session, as Pi accepts no other. */
  async end(operationId: string): Promise<void> {
    const { lane, session } = this.#parts;
    await this.#endExecs((await readOpenOperation(session, operationId)).pending);
    await lane.requestAbort(operationId, CONTEXT);
    const driven = await lane.drive({ operationId }, CONTEXT);
    if (!driven.ok) throw driven.error;
  }

  /** Count in what the operations used that this one comes after. */
  async #inherit(line: OperationLine): Promise<PastOperations> {
    const { lane, narrator } = this.#parts;
    const past = await readPast(lane, line);
    for (const record of past.former) narrator.inherit(await entriesOf(lane, record), false);
    for (const record of past.earlier) narrator.inherit(await entriesOf(lane, record), true);
    return past;
  }

  async #begin(line: OperationLine, past: PastOperations, prompt: string): Promise<void> {
    const { lane, images, instructions, narrator, workspaceLog } = this.#parts;
    const from = past.earlier.at(-1);
    if (from === undefined) await narrator.silently(() => beginAnew(lane, workspaceLog, line, past));
    if (past.former.length > 0) instructions.changed();
    await instructions.begin(line.id);
    const { lastOperationId } = await lane.inspectExecution(CONTEXT);
    this.#driven.is(line.id);
    const accepted = await lane.accept(
      {
        kind: "prompt",
        operationId: line.id,
        ...(from === undefined ? { prompt, images } : { prompt: goOnPrompt(prompt, lastOperationId === from.operationId) }),
      },
      CONTEXT,
    );
    if (!accepted.ok) throw accepted.error;
    await this.#driven.requestAbort();
  }

  async #takeUp(operationId: string): Promise<void> {
    const { session, narrator, history, workspaceLog, instructions } = this.#parts;
    this.#driven.is(operationId);
    await instructions.takeUp(operationId);
    const open = await readOpenOperation(session, operationId);
    const told = await history.read(operationId, open.fromTipId);
    narrator.resume(told, open.pending);
    await workspaceLog?.resume(told);
    if (workspaceLog?.broke(operationId)) this.#driven.stop({ kind: "failed", failure: sandboxLost() });
    stopWhereExceeded(this.#parts, this.#driven);
    if (this.#driven.verdict === undefined) return;
    await this.#endExecs(open.pending);
    await this.#driven.requestAbort();
  }

  async #retell(record: OperationResultRecord): Promise<void> {
    const { narrator, history, workspaceLog } = this.#parts;
    const told = await history.read(record.operationId, record.fromTipId, record.tipId);
    narrator.resume(told, new Set());
    await workspaceLog?.resume(told);
  }

  async #endExecs(ids: Iterable<string>): Promise<void> {
    await Promise.all([...ids].map((id) => this.#parts.endExec(id)));
  }
}

/** End an operation that is over a limit. Tells whether it is. */
export function stopWhereExceeded({ narrator, limits, unfinished }: OperationParts, driven: DrivenOperation): boolean {
  const failure = exceeded(narrator.usage, limits) ?? unfinished.failure();
  if (failure !== undefined) driven.stop({ kind: "failed", failure });
  return failure !== undefined;
}

/**
 * Take the conversation and the workspace back to where they were before a leaf's first beginning. If others came after it on its session, both
 * stay as they are, since the work of those is in them. It may be repeated at any point: what was done is done again, to the same end.
 */
async function beginAnew(
  lane: AgentLane,
  workspaceLog: WorkspaceLog | undefined,
  line: OperationLine,
  { former }: PastOperations,
): Promise<void> {
  const [first] = former;
  const { lastOperationId } = await lane.inspectExecution(CONTEXT);
  if (first === undefined || lastOperationId === null) return;
  const navigationId = navigationOf(line.id);
  if (![...line.former, ...line.former.map(navigationOf), navigationId].includes(lastOperationId)) return;
  const notice = await workspaceLog?.takeBack(line.id, first.fromTipId);
  if ((await lane.getTipId(CONTEXT)) !== first.fromTipId) await navigate(lane, navigationId, first.fromTipId);
  if (notice !== undefined)
    await lane.appendMessage({ role: "user", content: [{ type: "text", text: notice }], timestamp: Date.now() }, CONTEXT);
  await workspaceLog?.tookBack(line.id);
}

async function navigate(lane: AgentLane, operationId: string, targetId: string | null): Promise<void> {
  const accepted = await lane.accept({ kind: "navigation", operationId, targetId }, CONTEXT);
  if (!accepted.ok) throw accepted.error;
  const driven = await lane.drive({ operationId }, CONTEXT);
  if (!driven.ok) throw driven.error;
}

function navigationOf(operationId: string): string {
  return `${operationId}.begin`;
}
