import { Code } from "@connectrpc/connect";
import { HarnessError } from "@serverless-harness/kit/errors";
import type { ForkSource, PiSessions } from "@serverless-harness/pi-fork";
import { type Claim, isTerminal, type LeafStore, sessionKey } from "@serverless-harness/session";

/** Leaves of a session that are looked at. */
const LOOK_AT = 100;

/**
 * Throw if a leaf would begin with an empty conversation that should hold something: FAILED_PRECONDITION `conversation_gone` if leaves of its session
 * have talked to a model and the log is not there, `fork_source_empty` if the session that it forks has none; UNAVAILABLE `fork_source_waits`
 * if that one has not begun yet. To be called before the workspace is made, which would be made from nothing as well.
 */
export async function requireConversation(sessions: PiSessions, leaves: Pick<LeafStore, "list">, { leaf, fence }: Claim): Promise<void> {
  const { tenant, sessionId } = fence;
  if (await sessions.has({ tenant, sessionId })) return;
  const own = await leaves.list({ tenant, sessionId, limit: LOOK_AT });
  if (own.leaves.some(({ usage }) => (usage?.modelCalls ?? 0) > 0)) throw conversationGone();
  const source = leaf.spec?.fork?.sessionId;
  if (source === undefined || (await sessions.has({ tenant, sessionId: source }))) return;
  const others = await leaves.list({ tenant, sessionId: source, limit: LOOK_AT });
  throw others.leaves.some(({ state }) => !isTerminal(state)) ? sourceWaits() : sourceEmpty();
}

function conversationGone(): HarnessError {
  const text = "the conversation of this session is gone, though leaves of it have run: restore the session's log, or begin a new session";
  return new HarnessError(Code.FailedPrecondition, "conversation_gone", text);
}

function sourceEmpty(): HarnessError {
  const text = "the session that is to be forked has no conversation: no leaf of it began one, or its log is gone; fork another session";
  return new HarnessError(Code.FailedPrecondition, "fork_source_empty", text);
}

function sourceWaits(): HarnessError {
  return new HarnessError(Code.Unavailable, "fork_source_waits", "the session that is to be forked has not begun yet");
}

/** The workspaces that a leaf's own may be made from. */
export function copiedWorkspaces({ leaf, fence: { tenant } }: Claim): string[] {
  const { fork } = leaf.spec ?? {};
  return fork === undefined ? [] : [sessionKey({ tenant, sessionId: fork.sessionId })];
}

/** Where a leaf's conversation begins; `lifecycle`: its workspace. */
export function forkSource({ leaf, fence: { tenant } }: Claim, lifecycle: Pick<ForkSource, "copied" | "lacks">): ForkSource | undefined {
  const { fork } = leaf.spec ?? {};
  return fork && { from: { tenant, sessionId: fork.sessionId }, entryId: fork.entryId, copied: lifecycle.copied, lacks: lifecycle.lacks };
}
