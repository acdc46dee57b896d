import { BACKGROUND_CONTEXT as CONTEXT, operationMeta, operationState, type Session } from "@earendil-works/pi-agent-core";

/** An operation that has begun and not ended. */
export interface OpenOperation {
  /** The newest entry before it; `null` where it is the session's first. */
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
