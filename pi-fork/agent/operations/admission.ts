import { BACKGROUND_CONTEXT as CONTEXT, type OperationResultRecord } from "@earendil-works/pi-agent-core";
import type { AgentParts } from "../parts.ts";
import { exceeded } from "../usage/budget.ts";
import { sandboxLost } from "../workspace/notice.ts";
import { beginAnew } from "./begin-anew.ts";
import type { DrivenOperation } from "./driven.ts";
import { readOpenOperation } from "./open-operation.ts";
import { entriesOf, goOnPrompt, isCurrent, type OperationLine, type PastOperations, readPast } from "./operation-line.ts";

/** Opens the operation that an agent is to drive: a new one, one that another agent left open, or one that is over. */
export class Admission {
  readonly #parts: AgentParts;
  readonly #driven: DrivenOperation;

  constructor(parts: AgentParts, driven: DrivenOperation) {
    this.#parts = parts;
    this.#driven = driven;
  }

  /** Open it. Returns its record where it is over. Where it was stopped before it began, there is none, and nothing to drive. */
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
    const { session, narrator, story, workspaceLog, instructions } = this.#parts;
    this.#driven.is(operationId);
    await instructions.takeUp(operationId);
    const open = await readOpenOperation(session, operationId);
    const told = await story.read(operationId, open.fromTipId);
    narrator.resume(told, open.pending);
    await workspaceLog?.resume(told);
    if (workspaceLog?.broke(operationId)) this.#driven.stop({ kind: "failed", failure: sandboxLost() });
    stopWhereExceeded(this.#parts, this.#driven);
    if (this.#driven.verdict === undefined) return;
    await this.#endExecs(open.pending);
    await this.#driven.requestAbort();
  }

  async #retell(record: OperationResultRecord): Promise<void> {
    const { narrator, story, workspaceLog } = this.#parts;
    const told = await story.read(record.operationId, record.fromTipId, record.tipId);
    narrator.resume(told, new Set());
    await workspaceLog?.resume(told);
  }

  async #endExecs(ids: Iterable<string>): Promise<void> {
    await Promise.all([...ids].map((id) => this.#parts.endExec(id)));
  }
}

/** End an operation that is over a limit. Tells whether it is. */
export function stopWhereExceeded({ narrator, limits, unfinished }: AgentParts, driven: DrivenOperation): boolean {
  const failure = exceeded(narrator.usage, limits) ?? unfinished.failure();
  if (failure !== undefined) driven.stop({ kind: "failed", failure });
  return failure !== undefined;
}
