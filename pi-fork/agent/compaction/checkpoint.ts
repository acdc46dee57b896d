import { BACKGROUND_CONTEXT as CONTEXT, type Session, value } from "@earendil-works/pi-agent-core";
import type { Usage } from "@earendil-works/pi-ai";
import { type AgentUsage, addUsage } from "../log/usage.ts";
import type { ExpectedResultState } from "../narration/expected-result.ts";

/** How far an operation had come when its conversation began to be summed up: who takes it up later reads its log from there. */
export interface Checkpoint {
  readonly operationId: string;
  /** The newest entry then. All that the log tells up to here was announced. */
  readonly entryId: string;
  /** What the conversation came to, in tokens. */
  readonly contextTokens: number;
  /** What the operation had used. */
  readonly usage: AgentUsage;
  /** What the session had recorded as used by then: what came since is the difference. */
  readonly recorded: Usage;
  readonly expected?: ExpectedResultState;
  /** Requests for summaries whose agents died under them, by the id that their usage would have had, and what they are charged with. */
  readonly interrupted: Readonly<Record<string, Usage>>;
}

/** One per session, of the operation that was the last to be summed up. */
const CHECKPOINT = value<Checkpoint>("harness.checkpoint", "main");

/** The newest checkpoint of an operation. */
export async function readCheckpoint(session: Session, operationId: string): Promise<Checkpoint | undefined> {
  const checkpoint = (await session.getValue(CHECKPOINT, CONTEXT))?.value;
  return checkpoint?.operationId === operationId ? checkpoint : undefined;
}

export async function writeCheckpoint(session: Session, checkpoint: Checkpoint): Promise<void> {
  await session.setValue(CHECKPOINT, checkpoint, CONTEXT);
}

/** What the operation has used by now, but for answers after the checkpoint that were interrupted, and the number of those that were not. */
export async function usageSince(session: Session, { usage, recorded, interrupted }: Checkpoint): Promise<AgentUsage> {
  const { usage: now } = await session.getStats(CONTEXT);
  const since = addUsage(usage, difference(now, recorded));
  return Object.values(interrupted).reduce((sum, charged) => addUsage(sum, charged), since);
}

function difference(now: Usage, then: Usage): Usage {
  return {
    ...now,
    input: now.input - then.input,
    output: now.output - then.output,
    cacheRead: now.cacheRead - then.cacheRead,
    cacheWrite: now.cacheWrite - then.cacheWrite,
    cost: { ...now.cost, total: now.cost.total - then.cost.total },
  };
}
