import {
  branchTip,
  BACKGROUND_CONTEXT as CONTEXT,
  type Entry,
  laneState,
  type OperationState,
  operationMeta,
  operationState,
  operationToolMemo,
  type Session,
} from "@earendil-works/pi-agent-core";
import { CHANGING_TOOLS } from "../../tools/changing.ts";
import { GATE_MEMO, WAITS_AT_GATE } from "../../tools/gated.ts";
import { answerOf, toolResultOf } from "./history.ts";

/** The one lane that a session's agent works on. */
export const LANE = "main";

/** Where a session's lane stands, read without a harness. */
export interface LaneLog {
  /** The newest entry; `null` if there is none. */
  readonly tipId: string | null;
  /** The operation that has begun and not ended. */
  readonly open: { readonly id: string; readonly fromTipId: string | null; readonly state: OperationState } | undefined;
}

/** Read where the lane stands. */
export async function readLaneLog(session: Session): Promise<LaneLog> {
  const [tip, lane] = await Promise.all([session.getValue(branchTip(LANE), CONTEXT), session.getValue(laneState(LANE), CONTEXT)]);
  const tipId = tip?.value ?? null;
  const id = lane?.value.currentOperationId;
  if (id === undefined || id === null) return { tipId, open: undefined };
  const [meta, state] = await Promise.all([session.getValue(operationMeta(id), CONTEXT), session.getValue(operationState(id), CONTEXT)]);
  return { tipId, open: state === undefined ? undefined : { id, fromTipId: meta?.value.sourceTipId ?? null, state: state.value } };
}

/** Tool calls of the newest answer that are over, though their results are no entries yet. */
export function callsOver({ open }: LaneLog): string[] {
  const calls = open?.state.at === "tools" ? open.state.batch.calls : [];
  return calls.filter(({ status }) => status === "outcome_ready" || status === "completed").map((call) => call.resultEntryId);
}

/** Tool calls that may have changed the workspace and are not over. One that waits at its gate has changed nothing. */
export async function callsUnderWay(session: Session, { open }: LaneLog): Promise<string[]> {
  if (open?.state.at !== "tools") return [];
  const { calls, assistantEntryId } = open.state.batch;
  const entry = await session.getEntry(assistantEntryId, CONTEXT);
  const content = answerOf(entry)?.content ?? [];
  const found: string[] = [];
  for (const { status, sourceIndex, resultEntryId } of calls) {
    const part = content[sourceIndex];
    if (status !== "effect_pending" || part?.type !== "toolCall" || !CHANGING_TOOLS.has(part.name)) continue;
    const memo = await session.getValue(operationToolMemo(open.id, resultEntryId, GATE_MEMO), CONTEXT);
    if (memo?.value !== WAITS_AT_GATE) found.push(resultEntryId);
  }
  return found;
}

/** Results of tool calls that may have changed the workspace, after an entry of the lane; after all if it is not on it. */
export async function changesBehind(session: Session, { tipId }: LaneLog, entryId: string | null): Promise<Entry[]> {
  if (tipId === null || tipId === entryId) return [];
  const query = entryId === null ? {} : { stopAtId: entryId };
  const entries = await session.scanBranch({ ...query, start: tipId, type: "message" }, CONTEXT);
  return entries.filter((entry) => entry.id !== entryId && isChange(entry));
}

/** It holds the result of a tool call that may have changed the workspace. */
export function isChange(entry: Entry): boolean {
  const result = toolResultOf(entry);
  return result !== undefined && CHANGING_TOOLS.has(result.toolName);
}

/** An operation that has begun and not ended. */
export interface OpenOperation {
  /** The newest entry before it; `null` if it is the session's first. */
  readonly fromTipId: string | null;
  /** Invocation ids of the tool calls that have begun and whose results are not committed. */
  readonly pending: ReadonlySet<string>;
}

/** What the session's log knows about an open operation. */
export async function readOpenOperation(session: Session, operationId: string): Promise<OpenOperation> {
  const [meta, state] = await Promise.all([
    session.getValue(operationMeta(operationId), CONTEXT),
    session.getValue(operationState(operationId), CONTEXT),
  ]);
  const calls = state?.value.at === "tools" ? state.value.batch.calls : [];
  const pending = calls.filter((call) => call.status === "effect_pending").map((call) => call.resultEntryId);
  return { fromTipId: meta?.value.sourceTipId ?? null, pending: new Set(pending) };
}
