import { Code } from "@connectrpc/connect";
import { branchTip, BACKGROUND_CONTEXT as CONTEXT, type Entry, type Session } from "@earendil-works/pi-agent-core";
import { HarnessError } from "@serverless-harness/kit/errors";

/** The branch that a session's conversation is on. */
const BRANCH = "main";
/** Entries that are looked at first: calls that belong together are fewer. */
const NEAR = 100;

/** How a session began with another one's conversation. */
export interface Forked {
  /** All that the other one has is in it. */
  readonly newest: boolean;
}

/** What makes a session of another one's conversation. */
export interface ForkPlaces {
  /** The session that is to be, or `undefined` if it is not there yet. It is closed here. */
  readonly own: () => Promise<Session | undefined>;
  /** The other one, for reading; `undefined` if nobody ever wrote to it. It is closed here. */
  readonly other: () => Promise<Session | undefined>;
  /** Copy the other one up to an entry, in one step. */
  readonly copy: (entryId: string) => Promise<Session>;
}

/**
 * Make a session of another one's conversation up to an entry, or up to the newest one; if it is there already, it stays as it is. A conversation
 * ends where every tool call has its result, so an answer whose calls are still open is left out, with those of their results that are there. Throws
 * NOT_FOUND `unknown_entry`.
 */
export async function forkSession(places: ForkPlaces, entryId: string): Promise<Forked> {
  const other = await places.other();
  try {
    const made = await places.own();
    if (made !== undefined) return { newest: (await tipOf(made).finally(() => made.close(CONTEXT))) === (other && (await tipOf(other))) };
    const from = entryId === "" ? ((other && (await tipOf(other))) ?? null) : entryId;
    if (from === null) return { newest: true };
    const start = await other?.getEntry(from, CONTEXT);
    if (other === undefined || start === undefined) throw unknownEntry(entryId);
    const last = await settledAt(other, from);
    // The session is made when it is opened.
    if (last === null) return { newest: false };
    const copy = await places.copy(last).catch((error: unknown) => {
      // It may be an entry of before the leaf was redriven from the start, whose conversation is no part of the session's any more.
      throw error instanceof Error && error.message.includes("is not on source branch") ? unknownEntry(entryId) : error;
    });
    await copy.close(CONTEXT);
    return { newest: last === (await tipOf(other)) };
  } finally {
    await other?.close(CONTEXT);
  }
}

/** The newest entry of a session's conversation; `null` if nothing was said. */
export async function tipOf(session: Session): Promise<string | null> {
  return (await session.getValue(branchTip(BRANCH), CONTEXT))?.value ?? null;
}

/** The last entry, at or before one, after which no tool call waits for its result; `null` if that is before the first. */
async function settledAt(session: Session, entryId: string): Promise<string | null> {
  for (const limit of [NEAR, undefined]) {
    const query = { start: entryId, order: "newestFirst", ...(limit === undefined ? {} : { limit }) } as const;
    const found = lastSettled((await session.scanBranch(query, CONTEXT)).reverse());
    if (found !== null) return found;
  }
  return null;
}

function lastSettled(entries: readonly Entry[]): string | null {
  const open = new Set<string>();
  let settled: string | null = null;
  for (const entry of entries) {
    if (entry.type === "message" && entry.message.role === "assistant") {
      const { stopReason, content } = entry.message;
      // The calls of an answer that was cut are not made, and no model is shown them.
      const made = stopReason === "error" || stopReason === "aborted" ? [] : content;
      for (const part of made) if (part.type === "toolCall") open.add(part.id);
    } else if (entry.type === "message" && entry.message.role === "toolResult") open.delete(entry.message.toolCallId);
    if (open.size === 0) settled = entry.id;
  }
  return settled;
}

function unknownEntry(entryId: string): HarnessError {
  const text = `the session that is to be forked has no entry ${entryId}: name one as an answer's event tells it, or none for the newest`;
  return new HarnessError(Code.NotFound, "unknown_entry", text);
}
